"""Is this server fit to keep a promise? Asked at the start and of every server that a fail-over leads to.

The answers are words an operator can act on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from relay.errors import ConfigurationError
from relay.log import Log

_log = Log("database")

MINIMUM_VERSION: Final = 14

_QUERY: Final = """
SELECT name, setting FROM pg_settings WHERE name IN
  ('server_version_num', 'server_version', 'server_encoding', 'fsync', 'full_page_writes', 'synchronous_commit',
   'synchronous_standby_names')
"""


async def check_server(connection: Any) -> None:
    """Raise ConfigurationError for a server that would lose accepted mail; log what is weaker than it could be."""
    settings = dict(await connection.fetch(_QUERY))
    refusals = list(find_refusals(settings))
    if refusals:
        raise ConfigurationError("\n".join(f"spool.url: {refusal}" for refusal in refusals))
    for warning in find_warnings(settings):
        _log.warning("weak-durability", warning=warning)
    if not settings["synchronous_standby_names"]:
        _log.info(
            "durability", note="no synchronous standby: mail outlives a crash of this server, not its disk's loss"
        )


def find_refusals(settings: Mapping[str, str]) -> Iterator[str]:
    """Settings with which nothing could be promised."""
    if int(settings["server_version_num"]) < MINIMUM_VERSION * 10_000:
        yield f"PostgreSQL {settings['server_version']} is too old; {MINIMUM_VERSION} or newer is needed"
    if settings["server_encoding"] != "UTF8":
        yield f"the database's encoding is {settings['server_encoding']}; create it with ENCODING 'UTF8'"
    if settings["fsync"] == "off":
        yield (
            "the server runs with fsync = off: when its machine loses power, mail that was answered with 250 is gone "
            "and the database may be beyond repair. Set fsync = on and restart the server"
        )
    if settings["synchronous_commit"] == "off":
        yield (
            "synchronous_commit is off for this user and database: a commit returns before it is on disk, so a crash "
            "of the server loses up to a second of mail that was answered with 250. "
            "Run ALTER DATABASE … SET synchronous_commit = on"
        )


def find_warnings(settings: Mapping[str, str]) -> Iterator[str]:
    """Settings that keep the promise on this server, but not in every accident."""
    if settings["full_page_writes"] == "off":
        yield (
            "full_page_writes is off: a power cut in the middle of a page's write can destroy that page and what it "
            "holds, unless the file system never tears pages (ZFS)"
        )
    level = settings["synchronous_commit"]
    if settings["synchronous_standby_names"] and level in ("local", "remote_write"):
        meant = {
            "local": "commits do not wait for the standby: after a fail-over the last accepted mail may be missing",
            "remote_write": "a commit waits until the standby has the data in memory, not on disk: when both machines "
            "lose power together, the standby may lack the last accepted mail",
        }
        yield f"synchronous_commit = {level} although there is a synchronous standby: {meant[level]}"
