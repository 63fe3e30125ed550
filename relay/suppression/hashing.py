"""Addresses as keyed hashes: the same mailbox gives the same octets, and without the key they say nothing. Pure.

A refusal by a person is of the person: it is hashed as the *mailbox*, in which case, needless quotes, what follows
a "+", and what its provider does not tell apart (dots at Gmail, me.com and icloud.com) make no difference. What a
host said is about the *address*, and only case and quotes are let go: user+x may be unknown where user is not.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from relay.mail.address import Address
from relay.well_known import one_mailbox, without_tag

OCTETS: Final = 16
_QUOTED_PAIR = re.compile(r"\\(.)")


def address_form(address: Address) -> str:
    """The address without what no host tells apart: case, needless quotes, Unicode forms."""
    local = unicodedata.normalize("NFC", address.local)
    if len(local) > 1 and local.startswith('"') and local.endswith('"'):
        local = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    return f"{local.casefold()}@{address.domain}"


def mailbox_form(address: Address) -> str:
    """One text for every address that leads to the same mailbox, as far as strangers can know."""
    local, _, domain = address_form(address).rpartition("@")
    return "@".join(one_mailbox(local, domain))


class AddressHasher:
    """Hashes under the first of `keys`; the others are earlier keys, under which rows may still stand."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("hashing needs a key")
        self._keys = [hmac.new(key, digestmod="sha256") for key in keys]
        self.key_id = hashlib.sha256(b"key id\0" + keys[0]).hexdigest()[:8]
        """Names the key that new rows are hashed with."""
        # A delivery asks three times on its way, and a busy stream writes to the same people again.
        self._all_of = lru_cache(maxsize=4096)(self._every)

    def of_address(self, address: Address) -> bytes:
        """The hash by which what a host said is kept."""
        return self._hash(0, b"address\0" + address_form(address).encode())

    def of_mailbox(self, address: Address) -> bytes:
        """The hash by which what a person said is kept."""
        return self._hash(0, b"mailbox\0" + mailbox_form(address).encode())

    def all_of(self, address: Address) -> tuple[bytes, ...]:
        """Every hash under which a row about the address may stand."""
        return self._all_of(address)

    def _every(self, address: Address) -> tuple[bytes, ...]:
        local, _, domain = address_form(address).rpartition("@")
        mailboxes = dict.fromkeys((mailbox_form(address), "@".join(without_tag(local, domain))))
        forms = (b"address\0" + address_form(address).encode(), *(b"mailbox\0" + one.encode() for one in mailboxes))
        return tuple(self._hash(number, form) for number in range(len(self._keys)) for form in forms)

    def _hash(self, number: int, data: bytes) -> bytes:
        mac = self._keys[number].copy()
        mac.update(data)
        return mac.digest()[:OCTETS]
