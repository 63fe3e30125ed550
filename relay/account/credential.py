"""Credentials as values, and the SQL that reads and writes them; every function runs inside one transaction."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from relay.account.identity import Access, Identity
from relay.clock import from_millis
from relay.database.contract import Connection
from relay.errors import LeakError
from relay.ids import Entropy, base32
from relay.mail.address import AddressError, parse_address, parse_domain

KEY_PREFIX: Final = "leak_"
LAB_NAME: Final = "lab"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+\-]{0,127}")
_COLUMNS = (
    "c.tenant, t.name, c.id, c.name, c.senders, c.loopback_only, c.created, c.password_hash, c.key_hash IS NOT NULL,"
    " c.access"
)
_FROM = "FROM credential AS c JOIN tenant AS t ON t.id = c.tenant"


class AccountError(LeakError):
    """What was asked of the account book cannot be done; the text is fit for the operator."""


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to add: what proves it is a password, an API key that is made for it, or both."""

    name: str
    tenant: str
    senders: Sequence[str]
    password: str | None = None
    api_key: bool = False
    loopback_only: bool = False
    access: Access = Access.TENANT


@dataclass(frozen=True, slots=True)
class Created:
    """A new or rotated credential; its secrets are shown this once and kept nowhere."""

    name: str
    api_key: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A credential as listed: no secret, no hash."""

    id: int
    name: str
    tenant: str
    senders: tuple[str, ...]
    has_password: bool
    has_key: bool
    loopback_only: bool
    created: datetime
    access: Access = Access.TENANT


@dataclass(frozen=True, slots=True)
class Proven:
    """A credential that may have been proved: who it is, from where it counts, and its password's hash."""

    identity: Identity
    loopback_only: bool
    password_hash: str | None
    access: Access


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A row to write; secrets are hashed already."""

    name: str
    tenant: str
    senders: tuple[str, ...]
    password_hash: str | None
    key_hash: bytes | None
    loopback_only: bool
    created: int
    access: Access = Access.TENANT


def new_api_key(entropy: Entropy) -> str:
    """A fresh API key: a prefix that secret scanners can find, and 256 random bits."""
    return KEY_PREFIX + base32(entropy.bytes(32))


def key_hash(key: str) -> bytes:
    """What is stored of an API key; 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def is_loopback(peer: str) -> bool:
    """Whether `peer`, an IP address as text, is this machine; anything else than an address is not."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def check_name(name: str) -> str:
    """`name` if a tenant or user may be called so; AccountError says what is allowed."""
    if not _NAME.fullmatch(name):
        raise AccountError("a name is 1 to 128 letters, digits and . _ @ + -, and begins with a letter or digit")
    return name


def check_senders(senders: Sequence[str]) -> tuple[str, ...]:
    """The senders with their domains as lower-case A-labels; AccountError names the one that is none."""
    if not senders:
        raise AccountError('name at least one sender: a domain, a mailbox, or "*" for any')
    checked: list[str] = []
    for sender in senders:
        try:
            if sender == "*":
                checked.append(sender)
            elif "@" in sender:
                checked.append(str(parse_address(sender)))
            else:
                checked.append(parse_domain(sender))
        except AddressError as error:
            raise AccountError(f"{sender!r} is no domain and no mailbox: {error}") from None
    return tuple(dict.fromkeys(checked))


def find_by_name(connection: Connection, name: str) -> Proven | None:
    """The credential called `name`."""
    return _proven(connection, "c.name = ?", name)


def find_by_key(connection: Connection, digest: bytes) -> Proven | None:
    """The credential whose API key has this hash."""
    return _proven(connection, "c.key_hash = ?", digest)


def _proven(connection: Connection, condition: str, value: str | bytes) -> Proven | None:
    # `condition` is one of the two literals above, never a caller's text (S43).
    for row in connection.execute(f"SELECT {_COLUMNS} {_FROM} WHERE {condition}", (value,)):
        identity = Identity(row[0], row[1], row[2], row[3], tuple(json.loads(row[4])))
        return Proven(identity, bool(row[5]), row[7], Access(row[9]))
    return None


def list_users(connection: Connection) -> list[User]:
    """Every credential, by name."""
    return [_user(row) for row in connection.execute(f"SELECT {_COLUMNS} {_FROM} ORDER BY c.name")]


def _user(row: tuple[Any, ...]) -> User:
    senders = tuple(json.loads(row[4]))
    proofs = (row[7] is not None, bool(row[8]))
    return User(row[2], row[3], row[1], senders, *proofs, bool(row[5]), from_millis(row[6]), Access(row[9]))


def tenant_id(connection: Connection, name: str, created: int) -> int:
    """The number of the tenant called `name`, which is made if there is none."""
    for (found,) in connection.execute("SELECT id FROM tenant WHERE name = ?", (name,)):
        return int(found)
    made = list(connection.execute("INSERT INTO tenant (name, created) VALUES (?, ?) RETURNING id", (name, created)))
    return int(made[0][0])


def insert(connection: Connection, new: NewCredential) -> bool:
    """Write a credential; False if the name is taken."""
    if find_by_name(connection, new.name) is not None:
        return False
    tenant = tenant_id(connection, new.tenant, new.created)
    senders = json.dumps(new.senders)
    values = (tenant, new.name, new.password_hash, new.key_hash, senders, int(new.loopback_only), new.created)
    connection.execute(
        "INSERT INTO credential (tenant, name, password_hash, key_hash, senders, loopback_only, created, access)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*values, new.access.value),
    )
    return True


def replace_secrets(connection: Connection, name: str, password_hash: str | None, digest: bytes | None) -> bool:
    """Put new hashes where the credential has hashes; False if nobody is called so."""
    query = "SELECT password_hash IS NOT NULL, key_hash IS NOT NULL FROM credential WHERE name = ?"
    for has_password, has_key in list(connection.execute(query, (name,))):
        connection.execute(
            "UPDATE credential SET password_hash = ?, key_hash = ? WHERE name = ?",
            (password_hash if has_password else None, digest if has_key else None, name),
        )
        return True
    return False


def delete(connection: Connection, name: str) -> bool:
    """Remove the credential called `name`; its tenant and its messages stay."""
    connection.execute("DELETE FROM credential WHERE name = ?", (name,))
    return connection.changes() > 0
