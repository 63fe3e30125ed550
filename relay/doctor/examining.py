"""One examination: all checks at once, each with an end in time, told in their order as they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from relay.doctor import (
    blocklists,
    certificates,
    machine,
    names,
    policies,
    reach,
    relaying,
    resolving,
    returns,
    sealing,
    senders,
)
from relay.doctor.finding import Finding, Severity
from relay.doctor.subject import Examined, Means
from relay.log import Log

_log = Log("doctor")

Look = Callable[[Means, Examined], Awaitable[list[Finding]]]
Told = Callable[["Check", Sequence[Finding]], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the doctor looks at."""

    name: str
    title: str
    look: Look


CHECKS: Final = (
    Check("resolver", "the resolver", resolving.look),
    Check("port-25", "the way out on port 25", reach.look),
    Check("ptr", "names of the addresses", names.look),
    Check("spf", "SPF", senders.look_spf),
    Check("dkim", "DKIM", senders.look_dkim),
    Check("dmarc", "DMARC", senders.look_dmarc),
    Check("mx", "the way back of bounces and replies", returns.look),
    Check("mta-sts", "MTA-STS", policies.look),
    Check("certificate", "certificates", certificates.look),
    Check("blocklist", "blocklists", blocklists.look),
    Check("open-relay", "our own doors", relaying.look),
    Check("clock", "the clock", machine.look_clock),
    Check("disk", "the disk", machine.look_disk),
    Check("secrets", "keys and secrets", machine.look_secrets),
    Check("sealing-keys", "keys of sender records", sealing.look),
    Check("versions", "programs and database", machine.look_versions),
)


async def examine(
    means: Means, examined: Examined, seconds: float, told: Told, checks: Sequence[Check] = CHECKS
) -> list[Finding]:
    """All findings in the order of the checks, each of which ends within `seconds`; `told` hears of each as it ends."""
    running = [
        asyncio.create_task(_within(check, means, examined, seconds), name=f"doctor {check.name}") for check in checks
    ]
    findings: list[Finding] = []
    try:
        for check, task in zip(checks, running, strict=True):
            found = await task
            findings += found
            told(check, found)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return findings


async def _within(check: Check, means: Means, examined: Examined, seconds: float) -> list[Finding]:
    try:
        async with asyncio.timeout(seconds):
            return await check.look(means, examined)
    except TimeoutError:
        evidence = f"not done within {seconds:.0f} s"
        return [Finding(check.name, check.title, Severity.UNKNOWN, evidence, "try again; doctor.timeout sets the time")]
    except Exception as error:  # noqa: BLE001 - one broken check must not hide what the others found
        _log.exception("check-failed", check=check.name)
        return [Finding(check.name, check.title, Severity.UNKNOWN, f"the check itself failed: {type(error).__name__}")]
