"""AUTH to a next hop of the operator's: PLAIN or LOGIN, inside TLS only (RFC 4954, S05).

Stands in the opening, after the last EHLO. Secrets go on the wire and nowhere else: the transcript knows the
mechanism, not what followed it.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Final

from relay.egress.capabilities import Capabilities
from relay.egress.dialogue import Dialogue
from relay.policy.outcome import Phase
from relay.policy.route import Login
from relay.smtp.reply import Reply

MECHANISMS: Final = ("PLAIN", "LOGIN")
"""Those we speak, the better first: PLAIN needs one round trip."""


def mechanism(offered: Capabilities) -> str:
    """The mechanism to use, empty when none is offered that we speak."""
    return next((name for name in MECHANISMS if name in offered.auth), "")


async def authenticate(dialogue: Dialogue, chosen: str, login: Login, timeout: float) -> Reply:
    """The final reply to AUTH. The caller has made sure of TLS. Raises SessionBrokenError."""
    user, password = login.user.encode(), login.password.encode()
    if chosen == "PLAIN":
        return await _say(dialogue, b"AUTH PLAIN " + _encoded(b"\0" + user + b"\0" + password), "AUTH PLAIN …", timeout)
    answer = await _say(dialogue, b"AUTH LOGIN", "AUTH LOGIN", timeout)
    for secret, shown in ((user, "(user)"), (password, "(password)")):
        if answer.code != 334:
            break
        answer = await _say(dialogue, _encoded(secret), shown, timeout)
    return answer


async def _say(dialogue: Dialogue, line: bytes, shown: str, timeout: float) -> Reply:
    dialogue.say(line + b"\r\n", shown, Phase.AUTH)
    return await dialogue.hear(Phase.AUTH, timeout)


def _encoded(secret: bytes) -> bytes:
    return b64encode(secret)
