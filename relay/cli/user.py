"""`leak user`: the credentials with which programs and people hand in mail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.account.credential import NewUser
from relay.account.identity import FRONT_TENANT, Access
from relay.cli.context import Json, Yes, load, run_async, stores
from relay.cli.output import UsageError, confirm, fail, print_rows, say, say_json

if TYPE_CHECKING:
    from relay.account.credential import Created, User
    from relay.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Tenants and credentials: add, list, remove, rotate.")

Name = Annotated[str, typer.Argument(help="The user's name, as given at AUTH.")]


@app.command("add")
def add_command(
    context: typer.Context,
    name: Name,
    sender: Annotated[
        list[str] | None,
        typer.Option(metavar="<sender>", help='A domain or mailbox it may send from, "*" for any; may be repeated.'),
    ] = None,
    tenant: Annotated[str, typer.Option(help="The tenant it belongs to; default: the user's name.")] = "",
    api_key: Annotated[bool, typer.Option("--api-key", help="Make an API key instead of a password.")] = False,
    front: Annotated[
        bool,
        typer.Option("--front", help="Make an API key for a Leak front on another machine, which opens nothing else."),
    ] = False,
    password_file: Annotated[
        Path | None, typer.Option(help='Take the password from the first line of a file, "-" for standard input.')
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a user. Its password (made here unless given) or API key is shown this once."""
    if (api_key or front) and password_file:
        raise UsageError("--api-key or --front and --password-file exclude each other")
    if front and tenant not in {"", FRONT_TENANT}:
        raise UsageError(f"a front's letters belong to the tenant {FRONT_TENANT}; leave --tenant out")
    settings = load(context)
    senders = sender or [entry.domain for entry in settings.signing.domain]
    if not senders:
        raise UsageError('no signing domain is configured: say --sender DOMAIN, or --sender "*" for any')
    given = None if password_file is None else _first_line(password_file)
    password = None if api_key or front else given or _new_password()
    tenant = FRONT_TENANT if front else tenant or name
    access = Access.FRONT if front else Access.TENANT
    user = NewUser(name, tenant, senders, password, api_key=password is None, access=access)
    created = run_async(_add(settings, user))
    secrets = {"api_key": created.api_key} if password is None else {} if given else {"password": password}
    if as_json:
        say_json({"name": name, "tenant": tenant, "senders": senders, **secrets})
        return
    say(f"added {name}, tenant {tenant}, may send from {', '.join(senders)}")
    _show_once({key: value for key, value in secrets.items() if value})


async def _add(settings: Settings, user: NewUser) -> Created:
    async with stores(settings) as opened:
        return await opened.accounts.add_user(user)


@app.command("list")
def list_command(context: typer.Context, as_json: Json = False) -> None:
    """List the users; no secret is shown."""
    users = run_async(_list(load(context)))
    rows: list[dict[str, object]] = [
        {
            "name": user.name,
            "tenant": user.tenant,
            "senders": list(user.senders) if as_json else ", ".join(user.senders),
            **_proofs(user, as_json=as_json),
            "for": user.access.value or "its tenant",
            "from": "loopback" if user.loopback_only else "anywhere",
            "created": user.created,
        }
        for user in users
    ]
    columns = ("name", "tenant", "senders", "proves itself by", "for", "from", "created")
    print_rows(rows, columns, as_json=as_json, empty="no users; add one with `leak user add NAME --sender DOMAIN`")


def _proofs(user: User, *, as_json: bool) -> dict[str, object]:
    if as_json:
        return {"proofs": [word for word, has in (("password", user.has_password), ("api_key", user.has_key)) if has]}
    words = (("password", user.has_password), ("API key", user.has_key))
    return {"proves itself by": " and ".join(word for word, has in words if has)}


async def _list(settings: Settings) -> list[User]:
    async with stores(settings) as opened:
        return await opened.accounts.list_users()


@app.command("remove")
def remove_command(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Remove a user; mail it handed in is delivered all the same."""
    settings = load(context)
    _look(settings, name)
    confirm(f"Remove the user {name}?", yes=yes)
    if not run_async(_remove(settings, name)):
        fail(_unknown(name))
    say(f"removed {name}; a running node refuses it after a minute at the latest")


def _look(settings: Settings, name: str) -> None:
    """Before anything is asked: a question about nobody could only mislead."""
    if name not in {user.name for user in run_async(_list(settings))}:
        fail(_unknown(name))


def _unknown(name: str) -> str:
    return f"there is no user {name!r}; see `leak user list`"


async def _remove(settings: Settings, name: str) -> bool:
    from relay.client.bell import KINDS, subject_of

    async with stores(settings) as opened:
        removed = await opened.accounts.remove_user(name)
        # A front that may not ring any more would never end what it has begun.
        for kind in KINDS if removed else ():
            await opened.spool.clear_alarm(kind, subject_of(name))
        return removed


@app.command("rotate")
def rotate_command(context: typer.Context, name: Name, yes: Yes = False, as_json: Json = False) -> None:
    """Replace a user's password or API key by a new one, shown this once."""
    settings = load(context)
    _look(settings, name)
    confirm(f"Replace the secrets of {name}? The old ones stop working within a minute.", yes=yes)
    created = run_async(_rotate(settings, name))
    secrets = {key: value for key, value in (("password", created.password), ("api_key", created.api_key)) if value}
    if as_json:
        say_json({"name": name, **secrets})
        return
    say(f"rotated {name}")
    _show_once(secrets)


async def _rotate(settings: Settings, name: str) -> Created:
    async with stores(settings) as opened:
        return await opened.accounts.rotate(name)


def _show_once(secrets: dict[str, str]) -> None:
    for kind, value in secrets.items():
        say(f"{kind.replace('_', ' ')} (shown this once): {value}")


def _new_password() -> str:
    from relay.ids import SystemEntropy, base32

    return base32(SystemEntropy().bytes(15))


def _first_line(file: Path) -> str:
    try:
        text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    line = text.partition("\n")[0].rstrip("\r")
    if not line:
        raise UsageError(f"{file}: its first line is empty; it must be the password")
    return line
