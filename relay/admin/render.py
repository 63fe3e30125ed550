"""The operator's pages as responses: templates, one style sheet, and the headers that every page carries (S42)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from relay.pages.headers import UNSEARCHED, UNSTORED, kept_for_good, safe_headers, see_other
from relay.units import format_duration
from relay.wording import ago, clean, until

_FOLDER: Final = Path(__file__).parent
_HEADERS: Final = {**safe_headers(), **UNSEARCHED}


class Renderer:
    """Makes responses of templates. `frame` is what every page shows beside its own values."""

    def __init__(self, frame: Mapping[str, Any]) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_harmless,
        )
        self._templates.filters.update(
            number=_number, percent=_percent, span=_span, ago=ago, until=until, moment=_moment
        )
        self._style = (_FOLDER / "static" / "admin.css").read_bytes()
        self._style_name = f"{hashlib.sha256(self._style).hexdigest()[:16]}.css"
        self._frame = {**frame, "style": f"/admin/style/{self._style_name}"}

    def page(self, template: str, values: Mapping[str, Any], *, status: int = HTTPStatus.OK) -> web.Response:
        """A page; never stored."""
        text = self._templates.get_template(template).render(**self._frame, **values)
        headers = {**_HEADERS, **UNSTORED}
        # What was stored may hold half a character, which no page can: it is shown as one that is unknown.
        body = text.encode("utf-8", "replace")
        return web.Response(body=body, status=status, content_type="text/html", charset="utf-8", headers=headers)

    def redirect(self, location: str) -> web.Response:
        """303 to a path of ours, to be asked with GET (RFC 9110 §15.4.4)."""
        return see_other(location, _HEADERS)

    def style(self, name: str) -> web.Response | None:
        """The style sheet, None for another name; its name changes with it, so browsers may keep it."""
        if name != self._style_name:
            return None
        headers = {**_HEADERS, **kept_for_good("private")}
        return web.Response(body=self._style, content_type="text/css", charset="utf-8", headers=headers)


def _harmless(value: Any) -> Any:
    """What strangers wrote cannot turn a line around (S46)."""
    return clean(value) if type(value) is str else value


def _number(value: int) -> str:
    return f"{value:,}"


def _percent(part: float | None) -> str:
    """A part of 1 in percent, with as many digits as are of use; "-" for none."""
    if part is None:
        return "-"
    return f"{100 * part:.2g} %" if 0 < part < 0.1 else f"{100 * part:.0f} %"


def _span(value: timedelta | None) -> str:
    """A span of time; below ten seconds with a digit more; "-" for none."""
    if value is None:
        return "-"
    return f"{value.total_seconds():.1f}s" if value < timedelta(seconds=10) else format_duration(value)


def _moment(value: datetime | None) -> str:
    return "-" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"
