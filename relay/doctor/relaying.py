"""Are we an open relay? Our own doors are asked to pass mail on, in the forms relays were once fooled with (S14).

Nothing is sent: the conversation ends before DATA.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay.doctor.finding import Finding, Severity
from relay.doctor.subject import Door, Examined, Means
from relay.doctor.talk import Talk, TalkError

_FORMS: Final = (
    "<stranger@elsewhere.invalid>",
    "<stranger%elsewhere.invalid@{node}>",
    "<elsewhere.invalid!stranger@{node}>",
    '<"stranger@elsewhere.invalid"@{node}>',
    "<@{node}:stranger@elsewhere.invalid>",
    "<stranger@[192.0.2.1]>",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a door said; `error` when it could not be asked, `passed` are the recipients it would have taken."""

    passed: tuple[str, ...] = ()
    refusal: str = ""
    error: str = ""


async def look(means: Means, examined: Examined) -> list[Finding]:
    """Every door, one after the other."""
    return [judge(door, await _ask(means, examined, door), examined.trusted_networks) for door in examined.doors]


async def _ask(means: Means, examined: Examined, door: Door) -> Asked:
    try:
        talk = await Talk.begin(means.dial, door.place, examined.node, tls=door.tls)
    except TalkError as error:
        return Asked(error=str(error))
    passed: list[str] = []
    refusal = ""
    try:
        for form in _FORMS:
            recipient = form.format(node=examined.node)
            mail = await talk.say("MAIL FROM:<stranger@elsewhere.invalid>")
            reply = await talk.say(f"RCPT TO:{recipient}") if mail.positive else mail
            if reply.positive:
                passed.append(recipient)
            else:
                refusal = str(reply)
            if not mail.positive:
                break
            await talk.say("RSET")
    except TalkError as error:
        # A door that hangs up on so many refusals has given its answer.
        refusal = refusal or str(error)
    finally:
        await talk.end()
    return Asked(tuple(passed), refusal)


def judge(door: Door, asked: Asked, trusted: Sequence[str]) -> Finding:
    """Whoever is trusted may relay, so a door that trusts the doctor itself proves nothing."""
    subject = f"{door.purpose} {door.place}"
    if asked.error:
        return Finding("open-relay", subject, Severity.UNKNOWN, asked.error, "start the node: `leak run`")
    if not asked.passed:
        return Finding("open-relay", subject, Severity.OK, f"refuses strangers: {asked.refusal}")
    here = ipaddress.ip_address(door.place.host)
    if door.purpose == "submission" and any(here in ipaddress.ip_network(network) for network in trusted):
        evidence = f"this machine is among submission.trusted_networks, so {door.place} takes its mail as it should"
        return Finding("open-relay", subject, Severity.NOTE, evidence, "try from a machine that is not trusted")
    evidence = f"takes mail of strangers to {', '.join(asked.passed)}"
    remedy = "stop the node now; see submission.require_auth and submission.trusted_networks"
    return Finding("open-relay", subject, Severity.ERROR, evidence, remedy)
