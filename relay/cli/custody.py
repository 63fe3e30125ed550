"""`leak sealed export`, `verify`, `open` and `import`: a sealed record goes to its custodian, a note comes back.

The custodian's machine is not the server: `verify` and `open` need no configuration and no database, and `export` and
`import` no key. A file is there whole or not at all, with mode 0600, and replaces none. The front is loaded by name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.context import Json, by, load
from relay.cli.output import CommandError, UsageError, fail, say, say_json, say_table, warn
from relay.cli.queue_filter import now
from relay.cli.sealed import say_record, with_database, with_records
from relay.private_file import write_private_file

if TYPE_CHECKING:
    from relay.settings import Settings

Export = Annotated[Path, typer.Argument(help="What `leak sealed export` wrote.")]


def export(
    context: typer.Context,
    case: Annotated[str, typer.Argument(help="The number of the case, as `leak requests list` or the desk shows it.")],
    file: Annotated[Path, typer.Argument(help="The file to write; one that is there is not replaced.")],
    actor: Annotated[str, by("Who hands the records over.")],
) -> None:
    """Write the sealed records of a case into one file for their custodian, still sealed; the audit says so first."""
    settings = load(context)
    if file.exists():
        raise UsageError(f"{file} is there already; name a new file")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{file.parent} is no folder that you may write to")
    asked = _asked(settings, case, actor)
    found, chain = with_records(settings, lambda store, _: store.export(tuple(asked)))
    for one in asked:
        if one.letter_id not in found:
            warn(f"no record of letter {one.letter_id} is here: it is past its time, or none was kept")
    if not found:
        fail("there is nothing to hand over")
    module: Any = import_module("web.sealed_export")
    content = module.write_export(_prepared(settings, asked, found, chain))
    try:
        write_private_file(file, content)
    except OSError as error:
        fail(f"{file}: {error.strerror}; the audit has the export (entry {chain[-1].n}), but no file was written")
    say(f"sealed records in {file}: {len(found)}; entry {chain[-1].n} of the audit says so")
    say(f"SHA-256 of the file: {module.digest_of(content)}")
    say("tell it to the custodian by another way than the file: `leak sealed verify` prints it too")
    if (broken := import_module("web.audit").broken_link(chain)) is not None:
        warn(f"the audit was changed: entry {broken} is not as it was written, or one before it is missing")
    bases = import_module("web.disclosure").load_bases(settings.folder)
    for name in dict.fromkeys(one.basis for one in asked):
        if doubt := bases[name].doubt:
            warn(f"{name}: opening it takes a second person and a reason. {doubt}")


def _asked(settings: Settings, case: str, actor: str) -> list[Any]:
    """A disclosure for each letter that the case asks about: by its open requests, or as a threat to life."""
    auditing, rules = import_module("web.audit"), import_module("web.disclosure")
    requests, dangers = import_module("web.legal_requests"), import_module("web.danger")

    async def work(database: Any, clock: Any) -> tuple[Any, str | None]:
        from relay.ids import SystemEntropy

        noted = await requests.LegalRequestStore(database, clock).of_case(case)
        return noted, await dangers.DangerStore(database, clock, SystemEntropy()).letter_of_case(case)

    noted, endangered = with_database(settings, work)
    if not noted and endangered is None:
        fail(f"no request of case {case} is open (`leak requests list`)")
    asked = {}
    if endangered is not None:
        asked[endangered] = auditing.Disclosure(endangered, case, rules.OWN_BASIS, actor, details={"request": "0"})
    for one in noted:  # of two about one letter the later: it was noted because the first did not do
        said, details = one.asked, {"request": str(one.n), "authority": one.asked.authority}
        if said.letter_id:
            asked[said.letter_id] = auditing.Disclosure(said.letter_id, case, said.basis, actor, details=details)
    if not asked:
        fail(f"no request of case {case} names a letter (`leak requests note --letter`)")
    known = rules.load_bases(settings.folder)
    for disclosure in asked.values():
        if missing := rules.unusable(disclosure, known):
            raise UsageError(missing)
    return list(asked.values())


def _prepared(settings: Settings, asked: list[Any], found: dict[str, Any], chain: list[Any]) -> Any:
    module: Any = import_module("web.sealed_export")
    keys = import_module("web.sealing").SealingKeys(settings.path(settings.web.sealed_keys))
    prints = {key.name: key.fingerprint for key in keys}
    records = [
        module.AskedFor(one.letter_id, int(one.details["request"]), one.basis, prints.get(sealed.key, ""), sealed)
        for one in asked
        if (sealed := found.get(one.letter_id)) is not None
    ]
    bases = import_module("web.disclosure").load_bases(settings.folder)
    return module.Prepared(asked[0].case, now(), asked[0].actor, bases, records, chain)


def verify(file: Export, as_json: Json = False) -> None:
    """Check an export of sealed records by itself, anywhere: it needs no key, no configuration and no database."""
    found, digest = _loaded(file)
    rows = [
        (one.letter_id, one.request, one.basis, one.sealed.key, one.fingerprint, one.sealed.digest)
        for one in found.records
    ]
    columns = ("letter", "request", "basis", "key", "fingerprint", "sha256")
    audit = {"entries": found.audit.entries, "last": found.audit.last}
    if as_json:
        records = [dict(zip(columns, row, strict=True)) for row in rows]
        at = found.at.isoformat()
        say_json(
            {
                "case": found.case,
                "exported": at,
                "by": found.actor,
                "sha256": digest,
                "records": records,
                "audit": audit,
            }
        )
        return
    say(f"whole: sealed records of case {found.case}, handed over by {found.actor} on {found.at:%Y-%m-%d %H:%M} UTC")
    say_table(columns, rows, empty="")
    say(f"the audit had {found.audit.entries} entries; its last hash was {found.audit.last}")
    say(f"SHA-256 of the file: {digest}\nwhoever wrote it must have read the same")


@dataclass(frozen=True, slots=True)
class _Opening:
    """One record of a file, about to be opened; its note goes to `note`, by default beside the file."""

    file: Path
    note: Path | None
    digest: str
    export: Any
    record: Any
    disclosure: Any


def open_record(
    file: Export,
    key: Annotated[Path, typer.Option("--key", help="The private half.")],
    actor: Annotated[str, by("Who opens it.")],
    letter: Annotated[str, typer.Option("--letter", help="Which one, if the file holds several.")] = "",
    second: Annotated[str, typer.Option("--second", help="A second person, where the basis is doubted.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why all the same.")] = "",
    reseal: Annotated[
        Path | None,
        typer.Option("--reseal", help="Do not show it: seal it to this case's public half, for the server."),
    ] = None,
    note: Annotated[
        Path | None, typer.Option("--note", help="Where its note goes; default beside FILE, with a number.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Open one record of an export, on the custodian's machine; a note for the audit is written first."""
    auditing, sealing = import_module("web.audit"), import_module("web.sealing")
    found, digest = _loaded(file)
    record = found.find(letter)
    if record is None:
        raise UsageError(f"--letter is one of {', '.join(one.letter_id for one in found.records)}")
    if auditing.names_address(actor, second, reason):
        raise UsageError(import_module("web.disclosure").UNERASABLE)
    action = auditing.RESEAL if reseal else auditing.DISCLOSE
    said = auditing.Disclosure(record.letter_id, found.case, record.basis, actor, second, reason, action)
    opening = _Opening(file, note, digest, found, record, said)
    _refuse_doubted(opening)
    private = sealing.read_private_key(key)
    fingerprint = sealing.fingerprint_of(private.public_key())
    if record.fingerprint not in ("", fingerprint):
        theirs = f"{record.sealed.key}, fingerprint {record.fingerprint}"
        fail(f"{key} is another key, fingerprint {fingerprint}: the record was sealed to {theirs}")
    to = sealing.case_key(found.case, reseal) if reseal else None
    opened = sealing.open_sealed(record.sealed, private, record.letter_id)
    if to is not None:
        written = _write_note(opening, to.seal(opened, record.letter_id))
        say(f"sealed anew to the key of case {found.case}")
    else:
        written = _write_note(opening)
        say_record(opened, as_json=as_json)
    warn(f"bring {written} back to the server: `leak sealed import {written.name}` enters it in the audit")


def _refuse_doubted(opening: _Opening) -> None:
    """End with a note of the refusal if the basis is doubted and nobody answers for it.

    A doubt of the rules that came with this program holds as well: whoever writes a file can leave its doubts out.
    """
    auditing, rules = import_module("web.audit"), import_module("web.disclosure")
    said = opening.disclosure
    theirs, ours = opening.export.bases[said.basis], rules.load_bases().get(said.basis)
    if doubt := rules.doubt_about(said, theirs) or (rules.doubt_about(said, ours) if ours is not None else ""):
        refused = replace(opening, disclosure=replace(said, action=auditing.REFUSE))
        raise UsageError(f"{doubt}; it was not opened, and {_write_note(refused)} says so for the audit")


def _write_note(opening: _Opening, resealed: Any = None) -> Path:
    """Write the note, durably; where it is."""
    module: Any = import_module("web.opening_note")
    sha256 = opening.record.sealed.digest
    content = module.write_note(module.OpeningNote(opening.disclosure, now(), opening.digest, sha256, resealed))
    beside = (opening.file.with_name(f"{opening.file.name}.note-{number}.json") for number in count(1))
    for place in beside if opening.note is None else [opening.note]:
        try:
            write_private_file(place, content)
        except FileExistsError:
            continue
        except OSError as error:
            raise CommandError(f"{place}: {error.strerror}; nothing was opened, --note names another place") from None
        return place
    raise CommandError(f"{opening.note} is there already; nothing was opened")


def bring_back(
    context: typer.Context,
    notes: Annotated[list[Path], typer.Argument(help="What `leak sealed open` wrote.")],
    actor: Annotated[str, by("Who brings them back.")],
) -> None:
    """Enter in the audit what the custodian did with exported records; one that was sealed anew is kept so."""
    settings = load(context)
    module: Any = import_module("web.opening_note")
    for path in notes:
        note, digest = module.load_note(path)

        async def work(store: Any, _: Any, note: Any = note, digest: str = digest) -> tuple[int, bool]:
            entry, is_new = await store.bring_back(note, digest, actor)
            return int(entry), bool(is_new)

        n, is_new = with_records(settings, work)
        said = note.disclosure
        told = f"{said.action} of letter {said.letter_id} for case {said.case}"
        say(f"entry {n} of the audit: {told}" if is_new else f"entry {n} of the audit says so already: {told}")


def _loaded(file: Path) -> tuple[Any, str]:
    """An export and its SHA-256."""
    module: Any = import_module("web.sealed_export")
    try:
        found, digest = module.load_export(file)
    except module.BrokenExportError as error:
        fail(f"{file}: {error}")
    return found, str(digest)
