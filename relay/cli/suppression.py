"""`leak suppression`: who gets no more mail, by whose word and until when; lists taken in and given out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay.cli.context import Json, Yes, load, run_async, stores
from relay.cli.output import CommandError, UsageError, confirm, fail, print_rows, say, say_json, warn
from relay.cli.queue_filter import now

if TYPE_CHECKING:
    from relay.mail.address import Address
    from relay.opening import Stores
    from relay.policy.suppress import Reason
    from relay.settings import Settings
    from relay.suppression.contract import NewSuppression, Standing, Which

app = typer.Typer(help="Standing refusals: addresses that get no more mail.", no_args_is_help=True)

_PAGE: Final = 5000
_MOST_TOLD: Final = 20

_REASONS: Final = "hard-bounce, soft-bounce, complaint, opt-out, manual or allowed"

Addresses = Annotated[list[str], typer.Argument(help="One address or several.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Of this tenant alone; default every tenant.")]
Stream = Annotated[str, typer.Option("--stream", help="Mail of this stream alone; default every stream.")]
ReasonWord = Annotated[str, typer.Option("--reason", help=f"One of {_REASONS}.")]
FormWord = Annotated[str, typer.Option("--format", help="csv, mandrill or ses.")]


@app.command("add")
def add(
    context: typer.Context,
    addresses: Addresses,
    tenant: Tenant = "",
    stream: Stream = "",
    reason: ReasonWord = "manual",
    detail: Annotated[str, typer.Option("--detail", help="A note, kept with it.")] = "",
    duration: Annotated[str, typer.Option("--for", help='How long, as in "30d"; default as the rules say.')] = "",
    as_json: Json = False,
) -> None:
    """Refuse addresses from now on, also mail that waits; reason `allowed` keeps bounces from suppressing them."""
    from relay.suppression.contract import NewSuppression
    from relay.units import parse_duration

    try:
        until = now() + parse_duration(duration) if duration else None
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--for: {error}") from None
    why = _reason(reason)
    entries = [NewSuppression(0, _address(text), why, stream, detail, until) for text in addresses]
    fresh = run_async(_add(load(context), tenant, entries))
    if as_json:
        say_json({"added": fresh, "known": len(entries) - fresh})
    else:
        say(f"added {fresh}" + (f"; {len(entries) - fresh} stood already" if fresh < len(entries) else ""))


async def _add(settings: Settings, tenant: str, entries: Sequence[NewSuppression]) -> int:
    async with stores(settings) as opened:
        number = await _tenant(opened, tenant)
        return await opened.suppressions.add([replace(entry, tenant=number) for entry in entries])


@app.command("list")
def list_command(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Only what stands about this address.")] = "",
    tenant: Tenant = "",
    reason: ReasonWord = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    every: Annotated[bool, typer.Option("--all", help="Also those whose time is over.")] = False,
    as_json: Json = False,
) -> None:
    """List refusals, oldest first."""
    which = _which(address, reason)
    moment = now()
    found: list[Standing] = []
    for row in run_async(_read(load(context), tenant, which, None if not every else limit)):
        if every or row.in_force(moment):
            found.append(row)
        if len(found) == limit:
            break
    rows: list[dict[str, object]] = [
        {
            **asdict(row),
            "address": row.address if as_json else row.address or "(erased)",
            "tenant": row.tenant or ("" if as_json else "(every)"),
            "until": row.until if as_json else row.until or "for good",
            "since": row.created_at,
        }
        for row in found
    ]
    columns = ("address", "reason", "tenant", "stream", "since", "until", "detail")
    print_rows(rows, columns, as_json=as_json, empty="nobody is refused")


@app.command("remove")
def remove(
    context: typer.Context,
    addresses: Addresses,
    tenant: Tenant = "",
    reason: ReasonWord = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take refusals back. What recipients said themselves stays, unless --reason names it."""
    settings = load(context)
    which = [_which(text, reason) for text in addresses]
    if reason in ("opt-out", "complaint"):
        confirm(f"{len(which)} recipients asked for no more mail. Take that back in their name?", yes=yes)
    removed = run_async(_remove(settings, tenant, which, spare=not reason))
    if as_json:
        say_json({"removed": removed})
    elif removed:
        say(f"removed {removed}")
    else:
        fail("nothing was removed; what recipients said themselves needs --reason opt-out or --reason complaint")


async def _remove(settings: Settings, tenant: str, which: Sequence[Which], *, spare: bool) -> int:
    async with stores(settings, must_exist=True) as opened:
        number = await _tenant(opened, tenant) if tenant else None
        return sum(
            [await opened.suppressions.remove(replace(one, tenant=number), spare_the_recipients=spare) for one in which]
        )


@app.command("erase")
def erase(context: typer.Context, addresses: Addresses, as_json: Json = False) -> None:
    """Erase the addresses from the list; they stay refused, by a keyed hash alone."""

    async def work(settings: Settings) -> int:
        async with stores(settings, must_exist=True) as opened:
            return sum([await opened.suppressions.erase(_which(text, "")) for text in addresses])

    erased = run_async(work(load(context)))
    if as_json:
        say_json({"erased": erased})
    else:
        say(f"erased {erased}; what was refused is refused still")


@app.command("import")
def import_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help='The list; "-" reads standard input.')],
    tenant: Tenant = "",
    form: FormWord = "",
    as_json: Json = False,
) -> None:
    """Take a list in: CSV, Mandrill's or Amazon SES's, told by its looks. Done twice, it changes nothing."""
    from relay.suppression.contract import NewSuppression
    from relay.suppression.exchange import Form, decode_list, read_list

    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        readout = read_list(decode_list(content), Form(form) if form else None)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: {error}") from None
    moment = now()
    entries = [
        NewSuppression(0, entry.address, entry.reason, entry.stream, entry.detail, entry.until)
        for entry in readout.entries
        if entry.until is None or entry.until > moment
    ]
    over = len(readout.entries) - len(entries)
    fresh = run_async(_add(load(context), tenant, entries))
    figures = {"form": readout.form.value, "added": fresh, "known": len(entries) - fresh, "over": over}
    if as_json:
        say_json({**figures, "unread": list(readout.complaints)})
    else:
        say(", ".join(f"{key} {value}" for key, value in figures.items()))
        for complaint in readout.complaints[:_MOST_TOLD]:
            warn(complaint)
    if readout.complaints:
        raise CommandError(f"{len(readout.complaints)} lines could not be read; the others were taken")


@app.command("carry")
def carry(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The SQLite file of another state of this spool.")],
    as_json: Json = False,
) -> None:
    """Take over what people refused in another state of this spool, after an older backup was restored.

    By keyed hashes, so those whose address nobody keeps too. Done twice, it changes nothing.
    """
    taken = run_async(carry_over(load(context), file))
    if as_json:
        say_json({"added": taken})
    else:
        say(f"added {taken}")


async def carry_over(settings: Settings, file: Path) -> int:
    """The same; how many refusals were not known. Raises BackupError, and what `open_stores` raises."""
    from relay.database.backup import rows_of_copy
    from relay.suppression.carrying import SAID, carried

    taken, last = 0, -1
    async with stores(settings, must_exist=True) as opened:
        while rows := [carried(row) for row in await asyncio.to_thread(rows_of_copy, file, SAID, (last,))]:
            taken += await opened.suppressions.take_over(rows)
            last = rows[-1].id
    return taken


@app.command("export")
def export(context: typer.Context, tenant: Tenant = "", form: FormWord = "csv") -> None:
    """Write the list on standard output; addresses that were erased cannot be in it."""
    from relay.suppression.contract import Which
    from relay.suppression.exchange import Form, write_list

    try:
        wanted = Form(form)
    except ValueError:
        raise UsageError("--format: write csv, mandrill or ses") from None
    rows = run_async(_read(load(context), tenant, Which(), None))
    sys.stdout.write(write_list(rows, wanted, now()))


async def _read(settings: Settings, tenant: str, which: Which, limit: int | None) -> list[Standing]:
    found: list[Standing] = []
    async with stores(settings, must_exist=True) as opened:
        which = replace(which, tenant=await _tenant(opened, tenant) if tenant else None, limit=_PAGE)
        while limit is None or len(found) < limit:
            page = await opened.suppressions.show(which)
            found += page
            if len(page) < _PAGE:
                break
            which = replace(which, after=page[-1].id)
    return found


async def _tenant(opened: Stores, name: str) -> int:
    if not name:
        return 0
    number = await opened.suppressions.tenant(name)
    if number is None:
        fail(f"there is no tenant {name!r}")
    return number


def _which(address: str, reason: str) -> Which:
    from relay.suppression.contract import Which

    return Which(address=_address(address) if address else None, reason=_reason(reason) if reason else None)


def _address(text: str) -> Address:
    from relay.mail.address import AddressError, parse_address

    try:
        return parse_address(text)
    except AddressError as error:
        raise UsageError(f"{text!r} is no address: {error}") from None


def _reason(word: str) -> Reason:
    from relay.policy.suppress import Reason

    try:
        return Reason(word)
    except ValueError:
        raise UsageError(f"--reason: write {_REASONS}") from None
