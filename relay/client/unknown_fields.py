"""Says once what a newer far side tells that nobody here knows. Beside the documents of `relay.client.wire`."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from relay.client.wire import unknown_in
from relay.log import Log

MOST: Final = 100
"""Names kept: who sends more is no front and no relay of ours."""


class UnknownFields:
    """Notes each name once a process; its value stands in no log."""

    def __init__(self, log: Log, remedy: str) -> None:
        self._log = log
        self._remedy = remedy
        self._said: set[tuple[str, str]] = set()

    def note(self, call: str, document: BaseModel) -> None:
        """Log what `document` says beyond what is known here."""
        for name in unknown_in(document):
            if (call, name) not in self._said and len(self._said) < MOST:
                self._said.add((call, name))
                self._log.info("field-unknown", call=call, field=name[:80], why=self._remedy)
