"""`leak sealed` and `leak disclose`: who sent a letter, encrypted to keys made and kept offline.

`new-keys` and `destroy` belong on the custodian's machine and need no configuration; `disclose` needs the database and
one private half, for as long as it runs. The front is loaded by name.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.context import Json, Yes, by, config_file, load, run_async, stores
from relay.cli.output import CommandError, UsageError, confirm, fail, say, say_json, say_table, warn
from relay.cli.queue_filter import now

if TYPE_CHECKING:
    from relay.settings import Settings

app = typer.Typer(help="Keys of the sealed sender records, and the audit of their openings.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="A folder on the custodian's machine, never on the server.")]


@app.command("new-keys")
def new_keys(
    folder: Folder,
    first: Annotated[str, typer.Option("--from", help="The first month, as in 2026-11; default this one.")] = "",
    months: Annotated[int, typer.Option(min=1, max=60, help="How many months.")] = 14,
) -> None:
    """Make a key for each month: FOLDER/private stays with the custodian, FOLDER/public goes to `web.sealed_keys`."""
    try:
        names = _months(first, months)
    except ValueError as error:
        raise UsageError(f"--from: {error}") from None
    made = make_keys(folder, names)
    say(f"{made} {'key' if made == 1 else 'keys'} made, {names[0]} to {names[-1]}")
    say(f"copy {folder / 'public'} to the server's web.sealed_keys; keep {folder / 'private'} offline, twice")


def _months(first: str = "", months: int = 14) -> list[str]:
    sealing: Any = import_module("web.sealing")
    return list(sealing.months_from(first or sealing.month_of(now()), months))


def make_keys(folder: Path, names: Iterable[str] = ()) -> int:
    """Make the key of each month that has none yet, by default of this one and the next thirteen; how many it were."""
    from relay.private_file import make_private_folder, write_private_file

    sealing: Any = import_module("web.sealing")
    make_private_folder(folder / "private")
    (folder / "public").mkdir(exist_ok=True)
    made = 0
    for name in names or _months():
        private, public = sealing.new_key_pair()
        half, other = folder / "private" / f"{name}.pem", folder / "public" / f"{name}.pem"
        try:
            write_private_file(half, private)
        except FileExistsError:
            if other.exists():
                continue  # a key that was handed out is never replaced: records are sealed to it
            public = sealing.public_half(sealing.read_private_key(half))  # cut off between the two
        other.write_bytes(public)
        made += 1
    return made


@app.command("fingerprints")
def fingerprints(
    folder: Annotated[Path, typer.Argument(help="A folder of public halves: the custodian's, or `web.sealed_keys`.")],
    as_json: Json = False,
) -> None:
    """The fingerprint of each month's key; /privacy shows the one that is sealed to now, and it must be the same."""
    keys = list(import_module("web.sealing").SealingKeys(folder))
    if as_json:
        say_json([{"month": key.name, "fingerprint": key.fingerprint} for key in keys])
        return
    say_table(("month", "fingerprint"), [(key.name, key.fingerprint) for key in keys], empty=f"no key in {folder}")


@app.command("destroy")
def destroy(folder: Folder, yes: Yes = False) -> None:
    """Destroy the private halves in FOLDER whose records are past their time, in this copy of them."""
    sealing: Any = import_module("web.sealing")
    oldest = sealing.oldest_kept(now())
    old = sorted(path for path in folder.glob("????-??.pem") if path.stem < oldest)
    if not old:
        say(f"nothing to destroy: keys from {oldest} on are still needed")
        return
    confirm(f"{', '.join(path.stem for path in old)}: no record of these months can be opened again. Go on?", yes=yes)
    for path in old:
        _overwrite(path)
        path.unlink()
    say(f"destroyed {len(old)}; do the same with every other copy")


def _overwrite(path: Path) -> None:
    """In place and down to the disk: a file that is cut first gets other blocks, and the old ones keep the key."""
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
        file.flush()
        os.fsync(file.fileno())


@app.command("audit")
def audit(context: typer.Context, as_json: Json = False) -> None:
    """Every opening of a record and every refusal, and whether the list is as it was written; status 1 if it is not."""

    async def work(_: Any, written: Any) -> tuple[list[Any], int | None]:
        return await written.entries(), await written.broken_at()

    entries, broken = with_records(load(context), work)
    if as_json:
        say_json({"entries": [{"n": one.n, "at": one.at.isoformat(), **one.said} for one in entries], "broken": broken})
    else:
        columns = ("action", "case", "letter", "basis", "by", "second", "reason")
        # Of a request that came in, who asked stands where an opening says why.
        told = [one.said | {"reason": one.said.get("reason") or one.said.get("authority", "")} for one in entries]
        rows = [
            (one.n, f"{one.at:%Y-%m-%d %H:%M}", *(said.get(name, "") for name in columns))
            for one, said in zip(entries, told, strict=True)
        ]
        say_table(("n", "at", *columns), rows, empty="nobody ever asked for a record")
    if broken is not None:
        fail(f"entry {broken} is not as it was written, or one before it is missing")


@app.command("bases")
def bases(context: typer.Context, as_json: Json = False) -> None:
    """The legal bases on which a record may be opened."""
    known = import_module("web.disclosure").load_bases(config_file(context).parent)
    if as_json:
        say_json([{"id": one.id, "title": one.title, "law": one.law, "doubt": one.doubt} for one in known.values()])
        return
    say_table(("basis", "law", "title", "doubt"), [(b.id, b.law, b.title, b.doubt) for b in known.values()], empty="")


@app.command("refuse")
def refuse(
    context: typer.Context,
    case: Annotated[str, typer.Option("--case", help="The number of the case.")],
    basis: Annotated[str, typer.Option("--basis", help="The legal basis that was named (`leak sealed bases`).")],
    actor: Annotated[str, by("Who refuses it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
    letter: Annotated[
        str, typer.Argument(help="The letter's id, its recipient's link, or the relay's message id; none if none is.")
    ] = "",
) -> None:
    """Record that a request for a record was refused; it needs no key, and /transparency counts it."""
    settings = load(context)
    rules: Any = import_module("web.disclosure")
    auditing: Any = import_module("web.audit")
    if not reason.strip():
        raise UsageError("a refusal needs its reason")

    async def work(store: Any, written: Any) -> int:
        letter_id = await letter_id_of(settings, store, letter) if letter else ""
        refused = auditing.Disclosure(letter_id, case, basis, actor, reason=reason, action=auditing.REFUSE)
        if missing := rules.unusable(refused, rules.load_bases(settings.folder)):
            raise UsageError(missing)
        return int(await written.note(refused))

    say(f"refused, as entry {with_records(settings, work)} of the audit says")


@app.command("delete")
def delete(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="The letter's id, its recipient's link, or the relay's message id.")],
    case: Annotated[str, typer.Option("--case", help="The number of the case that it was kept for.")],
    basis: Annotated[str, typer.Option("--basis", help="The legal basis on which it was (`leak sealed bases`).")],
    actor: Annotated[str, by("Who deletes it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why: what ended the case.")],
) -> None:
    """Delete a record that was sealed anew for a case, which is over; all others go with their month."""
    settings = load(context)
    rules: Any = import_module("web.disclosure")
    auditing: Any = import_module("web.audit")
    if not reason.strip():
        raise UsageError("a deletion needs its reason")

    async def work(store: Any, _: Any) -> int | None:
        letter_id = await letter_id_of(settings, store, letter)
        deleted = auditing.Disclosure(letter_id, case, basis, actor, reason=reason, action=auditing.DELETE)
        if missing := rules.unusable(deleted, rules.load_bases(settings.folder)):
            raise UsageError(missing)
        entry: int | None = await store.delete(deleted)
        if entry is None and (cases := await store.wanted_by(letter_id)):
            raise CommandError(f"the record is still needed: close {', '.join(cases)} first")
        return entry

    entry = with_records(settings, work)
    if entry is None:
        fail(f"no record of this letter is kept for case {case}")
    say(f"deleted, as entry {entry} of the audit says; the case's private key can be destroyed")


def disclose(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="The letter's id, its recipient's link, or the relay's message id.")],
    key: Annotated[Path, typer.Option("--key", help="The private half, from the custodian.")],
    case: Annotated[str, typer.Option("--case", help="The number of the case.")],
    basis: Annotated[str, typer.Option("--basis", help="The legal basis (`leak sealed bases`).")],
    actor: Annotated[str, by("Who opens it.")],
    second: Annotated[str, typer.Option("--second", help="A second person, where the basis is doubted.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why all the same.")] = "",
    reseal: Annotated[
        Path | None, typer.Option("--reseal", help="Do not show it: seal it to this case's public half, and keep it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Open one sealed sender record; the audit entry is written first, and says so too where it is not opened."""
    settings = load(context)
    rules: Any = import_module("web.disclosure")
    auditing: Any = import_module("web.audit")
    sealing: Any = import_module("web.sealing")
    private = sealing.read_private_key(key)
    action = auditing.RESEAL if reseal else auditing.DISCLOSE
    to = sealing.case_key(case, reseal) if reseal else None
    asked = {"case": case, "basis": basis, "actor": actor, "second": second, "reason": reason, "action": action}
    known = rules.load_bases(settings.folder)

    async def work(store: Any, written: Any) -> tuple[Any, int, str]:
        letter_id = await letter_id_of(settings, store, letter)
        disclosure = auditing.Disclosure(letter_id, **asked, details=await _warn_of_changes(written))
        if missing := rules.unusable(disclosure, known):
            raise UsageError(missing)
        if doubt := rules.doubt_about(disclosure, known[basis]):
            entry = await written.note(replace(disclosure, action=auditing.REFUSE))
            raise UsageError(f"{doubt}; the request stands in the audit as refused (entry {entry})")
        sealed = await store.find(letter_id)
        if sealed is None:
            raise CommandError("there is no record of this letter: it is past its time, or none was kept")
        record = sealing.open_sealed(sealed, private, letter_id)
        if to is not None:
            entry = await store.reseal(disclosure, to.seal(record, letter_id))
            return None, entry, await written.hash_of(entry)
        entry = await written.note(disclosure)
        return record, entry, await written.hash_of(entry)

    record, entry, digest = with_records(settings, work)
    if record is None:
        say(f"sealed anew to the key of case {case}, and kept until `leak sealed delete`")
    else:
        say_record(record, as_json=as_json)
    warn(f"entry {entry} of the audit says so; write down elsewhere that its hash is {digest}")


async def _warn_of_changes(written: Any) -> dict[str, str]:
    """What an entry says beside its opening where the audit is not whole. That ends nothing: a court waits."""
    broken = await written.broken_at()
    if broken is None:
        return {}
    warn(f"the audit was changed: entry {broken} is not as it was written, or one before it is missing")
    return {"audit": f"broken at entry {broken}"}


def say_record(record: Any, *, as_json: bool) -> None:
    """Show who sent a letter."""
    at = record.at.isoformat(timespec="milliseconds")
    if as_json:
        say_json({"at": at, "ip": record.address, "port": record.port, "email": record.email})
        return
    say(f"time   {at}\nip     {record.address}")
    say(f"port   {'unknown' if record.port is None else record.port}\ne-mail {record.email or 'none'}")


async def letter_id_of(settings: Settings, store: Any, text: str) -> str:
    """The letter that is meant by an id, a recipient's link or the relay's message id."""
    if "/r/" in text:
        from relay.ids import SystemEntropy
        from relay.node_secrets import ensure_secrets

        links: Any = import_module("web.links")
        secrets = await asyncio.to_thread(ensure_secrets, settings.path(settings.node.secrets), SystemEntropy())
        token = text.partition("/r/")[2].partition("#")[0]
        found = links.RecipientLinks((secrets.link, *secrets.old_links), "").open(links.LinkKind.RECIPIENT, token)
        if found is None:
            raise CommandError("this is no link of ours")
        return str(found.letter_id)
    return await store.letter_of_message(text) or text


def with_records(settings: Settings, work: Callable[[Any, Any], Coroutine[Any, Any, Any]]) -> Any:
    """What `work` gives for the sealed records and their audit."""
    stored, auditing = import_module("web.sealed_store"), import_module("web.audit")
    return with_database(
        settings, lambda database, clock: work(stored.SealedStore(database, clock), auditing.Audit(database, clock))
    )


def with_database(settings: Settings, work: Callable[[Any, Any], Coroutine[Any, Any, Any]]) -> Any:
    """What `work` gives for the front's database and a clock."""
    from relay.clock import SystemClock

    async def ask() -> Any:
        async with stores(settings, must_exist=True) as opened:
            await import_module("web.letter_table").DatabaseLetterStore(opened.database).prepare()
            return await work(opened.database, SystemClock())

    return run_async(ask())
