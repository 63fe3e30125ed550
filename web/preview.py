"""The preview as a value that travels in its own signed token: the draft, its language, the form it came from.

From the same value follow the letter's id and the secret of its status link, so that sending one preview
twice, by a double click or by an old page, is one letter with one link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.ids import Entropy, base32
from web.catalogue import Language
from web.draft import Draft
from web.options import FrontOptions
from web.signature import Signature
from web.token import TokenSigner

PREVIEW_LIFETIME: Final = timedelta(hours=2)
SECOND_THOUGHT: Final = timedelta(minutes=10)
"""How much later a letter leaves whose writer was nudged and chose to wait."""

_COMPOSE_LIFETIME: Final = timedelta(days=1)
_NONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Preview:
    """A letter as it was shown. `nonce` is the compose form's; `unknown` is a domain DNS said nothing about."""

    draft: Draft
    language: Language
    nonce: str
    suggestion: str = ""
    unknown: str = ""

    def in_language(self, language: Language) -> Preview:
        """The same letter with the words of another language around it."""
        return replace(self, language=language)


@dataclass(frozen=True, slots=True)
class LetterNames:
    """The letter's id and the secret of its status link."""

    id: str
    secret: str


class PreviewTokens:
    """Turns previews into tokens and back."""

    def __init__(self, options: FrontOptions, clock: Clock, entropy: Entropy) -> None:
        self._forms = TokenSigner(options.form_key, clock)
        self._links = TokenSigner(options.link_key, clock)
        self._entropy = entropy

    def new_form(self, nonce: str = "") -> str:
        """The token of a compose form: of a new one, or of one that is shown again."""
        return self._forms.sign("compose", {"nonce": nonce or base32(self._entropy.bytes(_NONCE))})

    def nonce(self, token: str) -> str:
        """The nonce of a compose form's token; a new one if it is missing, old or not ours."""
        opened = self._forms.open("compose", token)
        if opened is None or opened.age > _COMPOSE_LIFETIME:
            return base32(self._entropy.bytes(_NONCE))
        return opened.payload["nonce"]

    def sign(self, preview: Preview) -> str:
        """The token of the preview page."""
        draft = preview.draft
        payload = {
            "to": draft.recipient,
            "signature": draft.signature.value,
            "pseudonym": draft.pseudonym,
            "message": draft.message,
            "wall": "on" if draft.wall else "",
            "leaves": "morning" if draft.morning else "",
            "language": preview.language.value,
            "nonce": preview.nonce,
            "suggestion": preview.suggestion,
            "unknown": preview.unknown,
        }
        return self._forms.sign("preview", payload)

    def open(self, token: str) -> tuple[Preview, timedelta] | None:
        """The preview in a token and the token's age; None if it was not signed here."""
        opened = self._forms.open("preview", token)
        return None if opened is None else (_preview(opened.payload), opened.age)

    def names(self, preview: Preview) -> LetterNames:
        """The names of the letter that `preview` makes: the same whenever it is sent, in either language."""
        draft = preview.draft
        parts = (preview.nonce, draft.recipient, draft.signature.value, draft.pseudonym, draft.message)
        letter_id = base32(self._forms.digest("letter", *parts))
        return LetterNames(letter_id, base32(self._links.digest("status", letter_id)))

    def share_of(self, letter_id: str) -> float:
        """A number from 0.2 to 1 that is the letter's own and nobody can guess."""
        return 0.2 + 0.8 * int.from_bytes(self._links.digest("delay", letter_id)[:4]) / 2**32


def _preview(payload: Mapping[str, str]) -> Preview:
    draft = Draft(payload["to"], Signature(payload["signature"]), payload["pseudonym"], payload["message"])
    draft = replace(draft, wall=payload.get("wall") == "on", morning=payload.get("leaves") == "morning")
    return Preview(draft, Language(payload["language"]), payload["nonce"], payload["suggestion"], payload["unknown"])
