"""What the submission door says: bland, each with its enhanced code (RFC 2034, RFC 3463; G10).

Positive replies are octets made once, since they are sent for every message; refusals are `Reply` values,
since they are counted and logged.
"""

from __future__ import annotations

from typing import Final

from relay.smtp.reply import reply

OK: Final = reply(250, "2.0.0", "ok").wire()
BYE: Final = reply(221, "2.0.0", "bye").wire()
HELP: Final = reply(214, "2.0.0", "submission by RFC 6409: EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, QUIT").wire()
START_TLS: Final = reply(220, "2.0.0", "ready for TLS").wire()
AUTHENTICATED: Final = reply(235, "2.7.0", "authenticated").wire()
SENDER_OK: Final = reply(250, "2.1.0", "sender ok").wire()
RECIPIENT_OK: Final = reply(250, "2.1.5", "recipient ok").wire()
SEND_CONTENT: Final = b"354 end with <CR><LF>.<CR><LF>\r\n"

CANNOT_VERIFY: Final = reply(252, "2.5.0", "not verified; mail for it is taken all the same")
UNKNOWN_COMMAND: Final = reply(500, "5.5.2", "unknown command")
NOT_OFFERED: Final = reply(502, "5.5.1", "command not offered")
NOT_HTTP: Final = reply(554, "5.5.1", "this is SMTP, closing")
TALKS_EARLY: Final = reply(503, "5.5.1", "you must wait for the reply, closing")
NEEDS_NAME: Final = reply(501, "5.5.4", "one host name is needed")
NEEDS_ARGUMENT: Final = reply(501, "5.5.4", "an argument is needed")
NO_ARGUMENT: Final = reply(501, "5.5.4", "no argument is allowed")
SEND_EHLO: Final = reply(503, "5.5.1", "send EHLO first")
OUT_OF_ORDER: Final = reply(503, "5.5.1", "not now")
NEEDS_MAIL: Final = reply(503, "5.5.1", "send MAIL first")
NEEDS_RECIPIENT: Final = reply(503, "5.5.1", "no valid recipients")

TLS_NOT_NOW: Final = reply(454, "4.7.0", "TLS is not available")
AUTH_NEEDS_TLS: Final = reply(538, "5.7.11", "encryption required for authentication")
AUTH_REQUIRED: Final = reply(530, "5.7.0", "authentication required")
AUTH_NOT_NOW: Final = reply(454, "4.7.0", "temporary authentication failure")
UNKNOWN_MECHANISM: Final = reply(504, "5.5.4", "unknown authentication mechanism")
TOO_MANY_GUESSES: Final = reply(421, "4.7.0", "too many authentication failures, closing")
RELAYING_DENIED: Final = reply(550, "5.7.1", "relaying denied")

TOO_MANY_RECIPIENTS: Final = reply(452, "4.5.3", "too many recipients")
TOO_BIG: Final = reply(552, "5.3.4", "message too big")
NO_ROOM: Final = reply(452, "4.3.1", "no room now, try again later")
BARE_LINE_END: Final = reply(550, "5.6.11", "bare CR or LF in the message; lines must end in CRLF")
NUL: Final = reply(550, "5.6.0", "NUL in the message")
