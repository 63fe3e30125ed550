"""What a request brings: its language, and its form's fields as `relay.posted_form` reads them."""

from __future__ import annotations

from aiohttp import web

from relay.posted_form import MAX_FORM, ForeignFormError, UnreadableFormError, read_fields
from web.catalogue import Language, choose_language

__all__ = ["MAX_FORM", "ForeignFormError", "UnreadableFormError", "language_of", "read_fields"]


def language_of(request: web.Request) -> Language:
    """The language in the path, else the best for Accept-Language."""
    prefix = request.path.lstrip("/").partition("/")[0]
    for language in Language:
        if prefix == language.value:
            return language
    return choose_language(request.headers.get("Accept-Language", ""))
