"""The account book: adds, lists, changes and removes credentials, and proves who a client is.

Passwords are argon2id, API keys SHA-256 of 256 random bits. An unknown name takes the time of a wrong
password (F04); guesses are limited by name (S15); a proof that succeeded is believed for a minute, which is
also how long a removed credential may go on working in another process. The lab's credential (`lab`, password
`lab`, key `lab`) is good from loopback only, and only in a process that asked for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from relay.account import credential
from relay.account.credential import (
    KEY_PREFIX,
    LAB_NAME,
    AccountError,
    Created,
    NewCredential,
    NewUser,
    Proven,
    User,
    check_name,
    check_senders,
    is_loopback,
    key_hash,
    new_api_key,
)
from relay.account.identity import Access, Identity
from relay.account.password import MAX_PASSWORD, AccountsBusyError, PasswordVault
from relay.account.proof_cache import ProofCache
from relay.account.throttle import Throttle
from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.errors import SpoolUnavailableError
from relay.ids import Entropy, base32
from relay.log import Log

MIGRATIONS: Final = Path(__file__).parent / "sql" / "sqlite"
"""Those of the other dialects stand beside them."""

GUESSES_AN_HOUR: Final = 20
MIN_PASSWORD: Final = 8
_HOUR: Final = 3600.0
_DAY: Final = 86_400.0


class AccountBook:
    """The accounts in a database; implements `relay.account.identity.Accounts`."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._vault = PasswordVault()
        self._cache = ProofCache(clock, entropy)
        # Counted by a name, or by a name and an address: tuples, so that no invented name is somebody's pair.
        self._guesses = Throttle(clock, GUESSES_AN_HOUR, _HOUR)
        # Who proved a name before is counted apart: strangers' guesses must not lock the owner out.
        self._familiar = Throttle(clock, 1, _DAY)
        self._proving: dict[bytes, asyncio.Task[Proven | None]] = {}
        self._lab_open = False
        self._log = Log("account")

    async def migrate(self) -> None:
        """Make or update the tables. Raises SchemaError, SpoolUnavailableError."""
        await self._database.migrate("account", MIGRATIONS.with_name(self._database.dialect))

    async def close(self) -> None:
        """Finish the proofs under way and end the threads; the database stays open."""
        await asyncio.gather(*self._proving.values(), return_exceptions=True)
        self._vault.close()

    async def by_password(self, name: str, password: str, peer: str) -> Identity | None:
        """See `Accounts.by_password`. AccountsBusyError (a SpoolUnavailableError) when guesses are used up."""
        if password.startswith(KEY_PREFIX):
            identity = await self.by_key(password, peer)
            if identity is not None:
                return identity
        tag = self._cache.tag(name, password)
        familiar = (name, peer)
        proven = self._cache.get(tag)
        if proven is None:
            subject = familiar if self._familiar.wait(familiar) else (name,)
            proven = await self._prove_once(tag, subject, name, password)
        if proven is not None and not self._familiar.wait(familiar):
            self._familiar.count(familiar)
        return self._admit(proven, peer)

    async def by_key(self, key: str, peer: str, access: Access = Access.TENANT) -> Identity | None:
        """See `Accounts.by_key`."""
        tag = self._cache.tag("", key)
        proven = self._cache.get(tag)
        if proven is None:
            digest = key_hash(key)
            proven = await self._database.read(lambda connection: credential.find_by_key(connection, digest))
            if proven is not None:
                self._cache.put(tag, proven)
        return self._admit(proven, peer, access)

    async def add_user(self, user: NewUser) -> Created:
        """Add a credential with a password, an API key, or both. Raises AccountError if that cannot be."""
        if user.name == LAB_NAME:
            if not user.loopback_only:
                raise AccountError(f'"{LAB_NAME}" is the lab\'s own user; it exists on loopback only')
            return await self._add_lab_user(user.tenant, user.senders)
        if user.access is not Access.TENANT and user.password is not None:
            raise AccountError("a front proves itself by a key, not by a password")
        if user.password is None and not user.api_key:
            raise AccountError("give the user a password, an API key, or both")
        if user.password is not None:
            _check_password(user.password)
        key = new_api_key(self._entropy) if user.api_key else None
        new = NewCredential(
            check_name(user.name),
            check_name(user.tenant),
            check_senders(user.senders),
            None if user.password is None else await self._vault.hash(user.password),
            None if key is None else key_hash(key),
            user.loopback_only,
            to_millis(self._clock.now()),
            user.access,
        )
        if not await self._database.write(lambda connection: credential.insert(connection, new)):
            raise AccountError(f"there is a user {user.name!r} already")
        self._log.info("user-added", user=user.name, tenant=user.tenant)
        return Created(user.name, key)

    async def ensure_lab_user(self) -> Identity:
        """Open the lab's credential in this process, made if need be, and return who it is."""
        await self._add_lab_user(LAB_NAME, ("*",))
        proven = await self._database.read(lambda connection: credential.find_by_name(connection, LAB_NAME))
        if proven is None:
            raise AccountError("the lab's user was removed while it was made")
        return proven.identity

    async def ensure_tenant(self, name: str) -> int:
        """The number of the tenant called `name`, made if there is none. Raises AccountError for a bad name."""
        check_name(name)
        now = to_millis(self._clock.now())
        return await self._database.write(lambda connection: credential.tenant_id(connection, name, now))

    async def list_users(self) -> list[User]:
        """Every credential by name, without secrets."""
        return await self._database.read(credential.list_users)

    async def remove_user(self, name: str) -> bool:
        """Remove a credential; False if nobody is called so. Other processes follow within a minute."""
        removed = await self._database.write(lambda connection: credential.delete(connection, name))
        self._cache.clear()
        if removed:
            self._log.info("user-removed", user=name)
        return removed

    async def rotate(self, name: str) -> Created:
        """Replace the secrets a credential has by new random ones. Raises AccountError if nobody is called so."""
        user = next((user for user in await self.list_users() if user.name == name), None)
        if user is None or name == LAB_NAME:
            raise AccountError(f"there is no user {name!r} whose secrets could be changed")
        password = base32(self._entropy.bytes(15)) if user.has_password else None
        key = new_api_key(self._entropy) if user.has_key else None
        hashed = None if password is None else await self._vault.hash(password)
        digest = None if key is None else key_hash(key)

        def work(connection: Connection) -> bool:
            return credential.replace_secrets(connection, name, hashed, digest)

        replaced = await self._database.write(work)
        self._cache.clear()
        if not replaced:
            raise AccountError(f"there is no user {name!r} whose secrets could be changed")
        self._log.info("user-rotated", user=name)
        return Created(name, key, password)

    async def _add_lab_user(self, tenant: str, senders: Sequence[str]) -> Created:
        hashed = await self._vault.hash(LAB_NAME)
        now = to_millis(self._clock.now())
        digest = key_hash(LAB_NAME)
        new = NewCredential(LAB_NAME, check_name(tenant), check_senders(senders), hashed, digest, True, now)
        await self._database.write(lambda connection: credential.insert(connection, new))
        self._lab_open = True
        return Created(LAB_NAME, LAB_NAME, LAB_NAME)

    def _admit(self, proven: Proven | None, peer: str, access: Access = Access.TENANT) -> Identity | None:
        # Every door but one asks for a tenant's key: a front's opens none that does not know of it.
        if proven is None or proven.access is not access or (proven.loopback_only and not is_loopback(peer)):
            return None
        if proven.identity.name == LAB_NAME and not self._lab_open:
            return None
        return proven.identity

    async def _prove_once(self, tag: bytes, subject: tuple[str, ...], name: str, password: str) -> Proven | None:
        """The same proof asked for many times at once, as by a client's pool of sessions, is made once."""
        task = self._proving.get(tag)
        if task is None:
            if self._guesses.wait(subject):
                self._log.warning("guesses-used-up")
                raise AccountsBusyError("too many wrong passwords for this name")
            self._guesses.count(subject)
            task = self._proving[tag] = asyncio.create_task(self._prove_counted(tag, subject, name, password))
            task.add_done_callback(lambda done: self._proved(tag, done))
        return await asyncio.shield(task)

    def _proved(self, tag: bytes, task: asyncio.Task[Proven | None]) -> None:
        self._proving.pop(tag, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may be left waiting

    async def _prove_counted(self, tag: bytes, subject: tuple[str, ...], name: str, password: str) -> Proven | None:
        try:
            proven = await self._prove(name, password)
        except SpoolUnavailableError:
            self._guesses.forgive(subject)
            raise
        if proven is not None:
            self._guesses.forgive(subject)
            self._cache.put(tag, proven)
        return proven

    async def _prove(self, name: str, password: str) -> Proven | None:
        proven = await self._database.read(lambda connection: credential.find_by_name(connection, name))
        stored = None if proven is None else proven.password_hash
        return proven if await self._vault.verify(stored, password) else None


def _check_password(password: str) -> None:
    if len(password) < MIN_PASSWORD:
        raise AccountError(f"a password has at least {MIN_PASSWORD} characters")
    try:
        too_long = len(password.encode()) > MAX_PASSWORD
    except UnicodeEncodeError:
        raise AccountError("the password is not valid text") from None
    if too_long:
        raise AccountError(f"a password has at most {MAX_PASSWORD} octets")
