"""The reference pages, written from the code: `python -m relay.cli.reference [--check]`.

`docs/reference/settings.md` comes from the models of `relay.settings`, `docs/reference/cli.md` from the commands
themselves, so neither can promise what is not there; a test compares them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from relay.cli.reference_figures import log_page, metrics_page
from relay.cli.template import quote
from relay.policy.alarms import ABOUT
from relay.settings import Listen, Settings, Size
from relay.settings_text import model_in

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "reference"

_SETTINGS_HEAD: Final = """\
# Settings

Written by `python -m relay.cli.reference` from `relay/settings/`; change the code, not this page.

One file, `config/relay.toml` unless `--config` or `$LEAK_CONFIG` names another. An unknown key is an error, and
`leak check` tells every complaint at once, with its line. Relative paths start at the file's folder. Durations are
written `"5m"`, `"1h30m"`, sizes `"25 MB"` or a number of octets, addresses `"host:port"`, `"[v6]:port"`, and
`"host:port/tls"` for implicit TLS. `${NAME}` in a string is replaced by that environment variable. Every key can also
be given as a variable: `LEAK_SECTION__KEY`, as in `LEAK_NODE__WORKERS=2`; lists are written as in the file, or
plainly with commas, as in `LEAK_SUBMISSION__TRUSTED_NETWORKS=127.0.0.1/32,10.0.0.0/8` (empty: none).
"""

_CLI_HEAD: Final = """\
# The command `leak`

Written by `python -m relay.cli.reference` from the commands themselves; change the code, not this page.

`--config FILE` may stand before or after the command. Exit status: 0 done, 1 failed, 2 wrong usage or configuration,
3 stopped because another node took this one's name, 4 warnings of `leak doctor`; `leak send` has those of sendmail: 0,
64, 69, 75. What is asked for goes to standard output, everything else to standard error.
"""


def settings_page() -> str:
    """docs/reference/settings.md."""
    sections = list(_sections(Settings, ""))
    names = [line.removeprefix("## `").removesuffix("`") for line in sections if line.startswith("## ")]
    index = " · ".join(f"[`{name}`](#{name.strip('[]').replace('.', '')})" for name in names)
    return "\n".join([_SETTINGS_HEAD, f"Sections: {index}", "", *sections]).rstrip() + "\n"


def _sections(model: type[BaseModel], path: str) -> Iterator[str]:
    plain: list[tuple[str, FieldInfo]] = []
    inner: list[tuple[str, FieldInfo, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        section = model_in(field.annotation)
        if section is None or section is Listen:
            plain.append((name, field))
        else:
            inner.append((name, field, section))
    if path and plain:
        yield "| key | meaning | type | default | example |"
        yield "|---|---|---|---|---|"
        for name, field in plain:
            yield _row(name, field)
        yield ""
    for name, field, section in inner:
        full = f"{path}.{name}" if path else name
        repeated = get_origin(field.annotation) is tuple
        if any(model_in(one.annotation) in (None, Listen) for one in section.model_fields.values()):
            yield f"## `[[{full}]]`" if repeated else f"## `[{full}]`"
            yield ""
            about = field.description or (section.__doc__ or "").strip()
            if about and about != (section.__mro__[1].__doc__ or "").strip():
                yield about
                yield ""
        yield from _sections(section, full)


def _row(name: str, field: FieldInfo) -> str:
    example = _toml(field.examples[0]) if field.examples else ""
    cells = (
        f"`{name}`",
        field.description or "",
        ", ".join(["size" if _is_size(field) else _type(field.annotation), *_bounds(field)]),
        _default(field),
        f"`{example}`" if example else "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _bounds(field: FieldInfo) -> Iterator[str]:
    """What is allowed beside the type, in words: from its annotations (`ge`, `le`, `gt`, `lt`, lengths)."""
    limits = {
        name: getattr(one, name)
        for one in field.metadata
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length")
        if getattr(one, name, None) is not None
    }
    words = {"ge": "{} or more", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
    if "ge" in limits and "le" in limits:
        yield f"{_bound(limits.pop('ge'), field)} to {_bound(limits.pop('le'), field)}"
    for name, text in words.items():
        if name in limits:
            yield text.format(_bound(limits[name], field))
    if "max_length" in limits:
        yield f"{limits['max_length']} characters at most"
    if "min_length" in limits:
        yield "not empty"


def _bound(value: Any, field: FieldInfo) -> str:
    if isinstance(value, timedelta):
        return f'"{_duration(value)}"'
    return f'"{_size(value)}"' if _is_size(field) else str(value)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "this host's name"
    if field.default is None:
        return "none"
    return f"`{quote(_size(field.default)) if _is_size(field) else _toml(field.default)}`"


def _is_size(field: FieldInfo) -> bool:
    return get_args(Size)[1] in field.metadata


def _size(octets: int) -> str:
    """A size in its largest whole unit: 25000000 is "25 MB"."""
    for unit, factor in (("GB", 1000**3), ("MB", 1000**2), ("kB", 1000)):
        if octets % factor == 0 and octets:
            return f"{octets // factor} {unit}"
    return f"{octets} B"


_TYPES: Final[dict[Any, str]] = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    timedelta: "duration",
    Listen: "address",
}


def _type(annotation: Any) -> str:
    if annotation in _TYPES:
        return _TYPES[annotation]
    origin, arguments = get_origin(annotation), [one for one in get_args(annotation) if one is not NoneType]
    if origin is tuple:
        return f"list of {_type(arguments[0])}".replace(" or ", ", ")
    if origin is Literal:
        return " or ".join(f"`{quote(one)}`" for one in arguments)
    if origin is dict:
        return f"table of {_type(arguments[1])}"
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Union or len(arguments) == 1:
        return _type(arguments[0])
    return _type(arguments[0]) if arguments else str(annotation)


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case timedelta():
            return quote(_duration(value))
        case list() | tuple():
            return "[" + ", ".join(_toml(one) for one in value) + "]"
        case dict():
            return "{ " + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + " }" if value else "{}"
        case _:
            return quote(str(value))


def _duration(span: timedelta) -> str:
    """The span in its largest whole unit, as people write it."""
    seconds = int(span.total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % length == 0 and seconds:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def cli_page() -> str:
    """docs/reference/cli.md."""
    return "\n".join([_CLI_HEAD, *_commands()]).rstrip() + "\n"


def _commands() -> Iterator[str]:
    from typer.main import get_command

    from relay.cli.app import app

    root: Any = get_command(app)
    yield "| command | does |"
    yield "|---|---|"
    for words, command in _walk(root, []):
        yield f"| [`{' '.join(words)}`](#{'-'.join(words)}) | {_first_sentence(command.help)} |"
    yield ""
    for words, command in _walk(root, []):
        yield from _command(words, command)


def _walk(group: Any, words: list[str]) -> Iterator[tuple[list[str], Any]]:
    for name in sorted(group.commands):
        command = group.commands[name]
        here = [*(words or ["leak"]), name]
        inner = getattr(command, "commands", None)
        if not inner or getattr(command, "invoke_without_command", False):
            yield here, command
        if inner:
            yield from _walk(command, here)


def _first_sentence(text: str | None) -> str:
    return _plain(text).partition(". ")[0].rstrip(".").replace("|", "\\|")


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())


def _command(words: list[str], command: Any) -> Iterator[str]:
    from relay.cli.send import HELP

    yield f"## `{' '.join(words)}`"
    yield ""
    if words == ["leak", "send"]:
        yield from ("```text", HELP.rstrip(), "```", "")
        return
    yield f"{_plain(command.help)}"
    yield ""
    rows = [_parameter(one) for one in command.params if one.name != "help"]
    if rows:
        yield "| argument or option | meaning | default |"
        yield "|---|---|---|"
        yield from rows
        yield ""


def _parameter(one: Any) -> str:
    if one.param_type_name == "argument":
        name = (one.metavar or one.name).strip("{}").upper()
    else:
        name = ", ".join([*one.opts[::-1], *one.secondary_opts])
    shown = isinstance(one.default, str | int) and not isinstance(one.default, bool) and one.default != ""
    default = "required" if one.required else f"`{one.default}`" if shown else ""
    return f"| `{name}` | {_plain(one.help)} | {default} |".replace("  |", " |")


_ALARMS_HEAD: Final = """\
# Alarms

Written by `python -m relay.cli.reference` from `relay/policy/alarms.py`; change the code, not this page.
How alarms reach a person: [alarms.md](../alarms.md).

| kind | means | what to do | ends when |
|---|---|---|---|
"""


def alarms_page() -> str:
    """docs/reference/alarms.md."""
    rows = (f"| `{kind}` | {about.means} | {about.remedy} | {about.ends} |\n" for kind, about in sorted(ABOUT.items()))
    return _ALARMS_HEAD + "".join(rows)


PAGES: Final[dict[str, Callable[[], str]]] = {
    "settings.md": settings_page,
    "cli.md": cli_page,
    "alarms.md": alarms_page,
    "metrics.md": metrics_page,
    "log.md": log_page,
}
"""File name → who writes the page."""


def main() -> int:
    """Write the pages, or with --check say which are stale; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when a page is stale")
    check = parser.parse_args().check
    stale = []
    for name, page in PAGES.items():
        file, text = FOLDER / name, page()
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name} {'is stale: run python -m relay.cli.reference' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
