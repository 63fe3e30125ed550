"""What a request brings: its language, and its form's fields as `relay.pages.form` reads them."""

from __future__ import annotations

from aiohttp import web

from relay.pages.form import read_fields
from web.catalogue import Language, choose_language

__all__ = ["language_of", "read_fields"]


def language_of(request: web.Request, written_in: str = "") -> Language:
    """The language in the path, else the best for Accept-Language, else that of what was written, else English."""
    prefix = request.path.lstrip("/").partition("/")[0]
    for language in Language:
        if prefix == language.value:
            return language
    otherwise = Language(written_in) if written_in else Language.EN
    return choose_language(request.headers.get("Accept-Language", ""), otherwise)
