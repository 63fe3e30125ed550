"""Signed tokens: what a page hands to the browser and gets back unchanged, without a session or a cookie.

A token tells its purpose, its time and its payload; a change of one bit, another purpose or another key
makes it nothing (S41). It is signed, not encrypted: it only ever holds what its reader typed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from relay.clock import Clock, from_millis, to_millis

_LONGEST: Final = 40_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A token that this program signed, and how long ago."""

    payload: Mapping[str, str]
    age: timedelta


class TokenSigner:
    """Signs and opens tokens with one key, from which each purpose has its own."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        self._keys: dict[str, bytes] = {}
        """Those of the purposes that were asked for: a handful, all of them named in the code."""

    def sign(self, purpose: str, payload: Mapping[str, str]) -> str:
        """A token of URL-safe characters."""
        document = {"at": to_millis(self._clock.now()), "payload": dict(payload)}
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return f"{_encode(body)}.{_encode(self._mac(purpose, body))}"

    def open(self, purpose: str, token: str) -> Opened | None:
        """What `token` holds, None if it was not signed here for `purpose`. The caller judges its age."""
        if len(token) > _LONGEST:
            return None
        head, _, tail = token.partition(".")
        try:
            body, mac = _decode(head), _decode(tail)
        except (binascii.Error, ValueError):
            return None
        if not hmac.compare_digest(mac, self._mac(purpose, body)):
            return None
        document = json.loads(body)
        return Opened(document["payload"], self._clock.now() - from_millis(document["at"]))

    def digest(self, purpose: str, *parts: str) -> bytes:
        """160 bits that only this key makes of `parts`."""
        return self._mac(purpose, json.dumps(parts).encode())[:20]

    def _mac(self, purpose: str, body: bytes) -> bytes:
        key = self._keys.get(purpose)
        if key is None:
            key = self._keys[purpose] = hmac.digest(self._key, b"leak " + purpose.encode(), hashlib.sha256)
        return hmac.digest(key, body, hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _encode(data) != text:
        raise ValueError("not the canonical form")
    return data
