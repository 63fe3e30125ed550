"""`leak dkim rotate` and `leak dkim retire`: new keys for a domain, without a moment in which a signature fails.

Each step is one run of a command, and what was done stands beside the keys: the next keys are made and their records
printed; once the DNS shows them, they sign; the old ones stay published as long as mail they signed may be on its way.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay.cli.context import Yes, load, run_async, stores
from relay.cli.output import CommandError, UsageError, say

if TYPE_CHECKING:
    from relay.cli.dns_compare import Comparison
    from relay.cli.dns_records import Record
    from relay.settings import Settings, SigningDomain
    from relay.signing.rotation import OldKeys, Rotation

LOOK_SECONDS: Final = 15.0
"""How often a waiting `rotate` asks the DNS."""

Domain = Annotated[str, typer.Argument(help="A domain of [[signing.domain]].")]


def rotate_command(
    context: typer.Context,
    domain: Domain,
    wait: Annotated[str, typer.Option(help="Wait so long for the records to appear, as in 1h.")] = "",
) -> None:
    """Make the next keys of a domain and print their records; once the DNS shows them, sign with them.

    Run it again, or with --wait, after publishing: nothing signs with a key that receivers cannot see. The keys before
    stay published until `leak dkim retire` lets them go.
    """
    from relay.signing.keys import KeyFileError
    from relay.signing.rotation import read_rotation, write_rotation

    settings = load(context)
    entry, folder = _entry(settings, domain), settings.path(settings.signing.keys)
    until = time.monotonic() + _seconds(wait)
    try:
        rotation = read_rotation(folder, entry.domain, entry.selectors)
        begun = not rotation.coming
        if begun:
            rotation = _begin(folder, entry, rotation)
        records = coming_records(folder, entry.domain, rotation)
        if begun:
            _print_new(records)
            if not wait:
                say(f"then run `leak dkim rotate {entry.domain}` again: it looks for them, and switches")
                return
        _wait_until_seen(settings, records, until)
        rotation = rotation.switch(datetime.now(UTC))
        write_rotation(folder, entry.domain, rotation)
    except KeyFileError as error:
        raise CommandError(str(error)) from None
    say(f"{', '.join(rotation.signing)} sign for {entry.domain} now; keep the records of the keys before published")
    _tell_nodes(settings, folder)
    for old in rotation.old:
        ready = f"{_ready(settings, old):%Y-%m-%d %H:%M} UTC"
        say(f"{', '.join(old.selectors)}: `leak dkim retire {entry.domain}` from {ready} on")


def _entry(settings: Settings, domain: str) -> SigningDomain:
    for entry in settings.signing.domain:
        if entry.domain == domain.lower().removesuffix("."):
            return entry
    known = ", ".join(entry.domain for entry in settings.signing.domain) or "none"
    raise UsageError(f"{domain!r} is no configured signing domain; there are: {known}")


def _seconds(text: str) -> float:
    from relay.units import parse_duration

    try:
        return parse_duration(text).total_seconds() if text else 0.0
    except ValueError as error:
        raise UsageError(f"--wait: {error}") from None


def _begin(folder: Path, entry: SigningDomain, rotation: Rotation) -> Rotation:
    """Make the next keys, and remember that they are coming."""
    from dataclasses import replace

    from relay.signing.keys import KeyType
    from relay.signing.rotation import make_pair, write_rotation

    kinds = (KeyType.RSA, KeyType.ED25519) if entry.ed25519 else (KeyType.RSA,)
    rotation = replace(rotation, coming=make_pair(folder, entry.domain, datetime.now(UTC).year, kinds))
    write_rotation(folder, entry.domain, rotation)
    return rotation


def coming_records(folder: Path, domain: str, rotation: Rotation) -> list[Record]:
    """The records of the keys that are to sign next. Raises KeyFileError when one cannot be read."""
    from relay.cli.dns_records import Purpose, Record
    from relay.signing.keys import key_path, load_key, public_record, record_name

    keys = {selector: load_key(key_path(folder, domain, selector)) for selector in rotation.coming}
    return [
        Record(Purpose.DKIM, record_name(domain, selector), "TXT", public_record(key)) for selector, key in keys.items()
    ]


def _print_new(records: list[Record]) -> None:
    say("made the next keys; publish these records beside those that are there:")
    for record in records:
        say(record.zone_line())


def _wait_until_seen(settings: Settings, records: list[Record], until: float) -> None:
    """Return once the DNS shows every record; CommandError when the time is over before."""
    from relay.cli.dns import compare_live
    from relay.cli.dns_compare import Finding

    while True:
        gaps = [one for one in run_async(compare_live(settings, records)) if one.finding is not Finding.OK]
        if not gaps:
            return
        left = until - time.monotonic()
        if left <= 0:
            raise CommandError(_complaint(gaps))
        time.sleep(min(LOOK_SECONDS, left))


def _complaint(gaps: list[Comparison]) -> str:
    lines = ["the DNS does not show the next keys yet, so nothing is switched:"]
    lines += [f"{one.finding}: {one.record.zone_line()}" + (f"   ({one.hint})" if one.hint else "") for one in gaps]
    return "\n".join(lines)


def _tell_nodes(settings: Settings, folder: Path) -> None:
    from relay.cli.node import tell_node

    say(tell_node(settings))
    say(f"other nodes: copy {folder} to them, then `leak reload` there")


def _ready(settings: Settings, old: OldKeys) -> datetime:
    """From when on no mail is left that the old keys signed, nor in the queue of a receiver that judges late."""
    from relay.signing.rotation import MARGIN

    return old.switched + settings.delivery.expire_after + MARGIN


def retire_command(
    context: typer.Context,
    domain: Domain,
    force: Annotated[bool, typer.Option("--force", help="Now, whatever mail still needs them: a stolen key.")] = False,
    yes: Yes = False,
) -> None:
    """Delete the keys that a rotation replaced, once no mail needs their records any more.

    Refuses while mail they signed may still be in the queue, and for a day longer. Then take their records out of the
    DNS.
    """
    from relay.signing.keys import KeyFileError, key_path, record_name
    from relay.signing.rotation import read_rotation, write_rotation

    settings = load(context)
    entry, folder = _entry(settings, domain), settings.path(settings.signing.keys)
    try:
        rotation = read_rotation(folder, entry.domain, entry.selectors)
        if not rotation.old:
            raise CommandError(f"{entry.domain} has no replaced keys; `leak dkim rotate {entry.domain}` makes new ones")
        leaving = [old for old in rotation.old if force or _is_free(settings, entry.domain, old)]
        names = [selector for old in leaving for selector in old.selectors if selector not in rotation.signing]
        if not yes and not typer.confirm(f"Delete {', '.join(names)} of {entry.domain}?", err=True):
            raise CommandError("nothing was deleted")
        for old in leaving:
            rotation = rotation.without(old)
        write_rotation(folder, entry.domain, rotation)
        for selector in names:
            key_path(folder, entry.domain, selector).unlink(missing_ok=True)
    except KeyFileError as error:
        raise CommandError(str(error)) from None
    say("deleted; take these records out of the DNS:")
    for selector in names:
        say(f"{record_name(entry.domain, selector)} TXT")


def _is_free(settings: Settings, domain: str, old: OldKeys) -> bool:
    """True when nothing needs the old keys; CommandError says what does."""
    ready = _ready(settings, old)
    if datetime.now(UTC) < ready:
        names = ", ".join(old.selectors)
        text = f"{names} signed until {old.switched:%Y-%m-%d %H:%M} UTC; mail of then may be on its way"
        raise CommandError(f"{text} until {ready:%Y-%m-%d %H:%M} UTC (--force deletes a stolen key now)")
    everybody = domain == settings.signing.operator_domain
    count = run_async(_signed_before(settings, None if everybody else domain, old.switched))
    if count:
        text = f"{count} unfinished messages may carry signatures of {', '.join(old.selectors)}"
        raise CommandError(f"{text}: `leak queue list --older-than` shows them; send or cancel them first")
    return True


async def _signed_before(settings: Settings, domain: str | None, moment: datetime) -> int:
    async with stores(settings) as opened:
        # A message that was accepted just before the switch may have been signed by a node that had not reloaded.
        return await opened.spool.signed_before(domain, moment + timedelta(hours=1))
