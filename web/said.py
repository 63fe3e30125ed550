"""The words that a page always says, put into its template as it is compiled: one set of templates a language.

`{{ t("site.switch") }}` and `{{ t.language }}` are most of what a page says. Looked up and escaped once instead of at
each request, a preview takes little more than half of the time. What depends on values is said as the page is rendered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jinja2 import Environment
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from markupsafe import escape

from web.catalogue import Words

_CALLED: Final = ("name", "lparen", "string", "rparen")
_NAMED: Final = ("name", "dot", "name")


def saying(templates: Environment, words: Words) -> Environment:
    """`templates` that say `words`; whoever renders them gives the same as `t`. KeyError as one is read for no text."""
    spoken = templates.overlay(extensions=[_Said])
    spoken.extend(words=words)
    return spoken


class _Said(Extension):
    """Replaces what needs no value by what is said."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        for token in stream:
            if token.type != "variable_begin":
                yield token
                continue
            inner: list[Token] = []
            end = next(stream)
            while end.type != "variable_end":
                inner.append(end)
                end = next(stream)
            said = self._said(inner)
            if said is None:
                yield from (token, *inner, end)
            else:
                yield Token(token.lineno, "data", str(escape(said)))

    def _said(self, tokens: list[Token]) -> str | None:
        words: Words = self.environment.words  # type: ignore[attr-defined]
        kinds, values = tuple(token.type for token in tokens), [token.value for token in tokens]
        if values[:1] != ["t"]:
            return None
        if kinds == _CALLED:
            return words(values[2])
        return words.language.value if kinds == _NAMED and values[2] == "language" else None
