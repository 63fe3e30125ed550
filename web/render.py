"""Pages as responses: templates, the style sheet and the headers that every page carries (S42).

No page needs a script, sets a cookie or asks a third party for anything; the headers make browsers hold us
to it. `Cross-Origin-*` and `Referrer-Policy` keep the secret link of a status page from leaking elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from relay.pages.headers import HTTPS_ONLY, UNSEARCHED, UNSTORED, kept_for_good, safe_headers, see_other
from web.catalogue import Language, Words
from web.plain_text import reads_leftward
from web.requests import language_of
from web.said import saying

_FOLDER: Final = Path(__file__).parent
_SAFE: Final = {**safe_headers("manifest-src 'self'"), "Server": "leak"}


def make_templates() -> Environment:
    """The templates of pages and mail: everything is escaped, and an unknown name is an error.

    Each is read once: a page is of one version, also while another one is installed beside it.
    """
    templates = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    templates.tests["leftward"] = reads_leftward
    return templates


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages need; its path changes with its content, so browsers may keep it for good."""

    path: str
    content: bytes
    content_type: str

    @classmethod
    def load(cls, name: str, content_type: str) -> Asset:
        """The file `name` of the static folder."""
        return cls.of(name, (_FOLDER / "static" / name).read_bytes(), content_type)

    @classmethod
    def of(cls, name: str, content: bytes, content_type: str) -> Asset:
        """`content` under `name`."""
        return cls(f"/static/{hashlib.sha256(content).hexdigest()[:16]}/{name}", content, content_type)


class Renderer:
    """Makes responses of templates. `onion` is the address of the onion service that shows the same pages."""

    def __init__(
        self, templates: Environment, words: Mapping[Language, Words], *, https: bool, onion: str = ""
    ) -> None:
        self._templates = {language: saying(templates, said) for language, said in words.items()}
        self._words = words
        self._headers = {**_SAFE, **HTTPS_ONLY} if https else _SAFE
        self._onion = onion
        self._style = Asset.load("leak.css", "text/css")
        self._icon = Asset.load("leak.svg", "image/svg+xml")
        manifest = _manifest(words[Language.EN]("site.name"), self._icon.path)
        desk = Asset.load("desk.css", "text/css")
        self._by_path = {asset.path: asset for asset in (self._style, self._icon, manifest, desk)}
        self._assets = {
            "style": self._style.path,
            "icon": self._icon.path,
            "manifest": manifest.path,
            "desk": desk.path,
        }

    def words(self, language: Language) -> Words:
        """The words of `language`."""
        return self._words[language]

    def page(
        self, template: str, language: Language, values: Mapping[str, Any], *, status: int = HTTPStatus.OK
    ) -> web.Response:
        """A private page: never stored, never indexed."""
        response = self._render(template, language, values, status)
        response.headers.update(UNSTORED | UNSEARCHED)
        return response

    def public_page(
        self, template: str, request: web.Request, values: Mapping[str, Any], *, indexed: bool = True
    ) -> web.Response:
        """A page with nobody's words in it. Browsers may keep it, so that "back" brings back what was typed.

        Tor Browser is told where the same page stands on the onion service.
        """
        language = language_of(request)
        response = self._render(template, language, values, HTTPStatus.OK)
        response.headers["Cache-Control"] = "private, no-cache"
        if self._onion:
            asked = request.rel_url.raw_path_qs
            prefix = "" if request.path.startswith(f"/{language.value}/") else f"/{language.value}"
            response.headers["Onion-Location"] = f"{self._onion}{prefix}{asked}"
        if not indexed:
            response.headers.update(UNSEARCHED)
        # Only pages without a reader's words or secret are compressed: nothing can be guessed by length.
        response.enable_compression()
        return response

    def notice(self, kind: str, language: Language, status: int) -> web.Response:
        """A page that says in a sentence why there is no other."""
        return self.page("notice.html", language, {"kind": kind}, status=status)

    def redirect(self, location: str) -> web.Response:
        """303 to a path of ours, to be asked with GET (RFC 9110 §15.4.4)."""
        return see_other(location, self._headers)

    def plain(self, text: str) -> web.Response:
        """A small text file."""
        return web.Response(text=text, headers=self._headers)

    def asset(self, path: str) -> web.Response | None:
        """A static file, None for a path that is none."""
        asset = self._by_path.get(path)
        if asset is None:
            return None
        headers = {**self._headers, **kept_for_good("public")}
        response = web.Response(body=asset.content, content_type=asset.content_type, charset="utf-8", headers=headers)
        response.enable_compression()
        return response

    def _render(self, template: str, language: Language, values: Mapping[str, Any], status: int) -> web.Response:
        words = self._words[language]
        text = self._templates[language].get_template(template).render(t=words, assets=self._assets, **values)
        headers = {**self._headers, "Content-Language": language.value, "Vary": "Accept-Language"}
        return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=headers)


def _manifest(name: str, icon: str) -> Asset:
    """What a phone shows of a front that was put on its home screen. There is no service worker: it would leave traces
    of letters on the device.
    """
    said = {
        "name": name,
        "short_name": name,
        "start_url": "/",
        "scope": "/",
        "display": "browser",
        "background_color": "#f6efe4",
        "theme_color": "#93391f",
        "icons": [{"src": icon, "sizes": "any", "type": "image/svg+xml"}],
    }
    return Asset.of("leak.webmanifest", json.dumps(said).encode(), "application/manifest+json")
