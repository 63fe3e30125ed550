"""The commands of a transaction as text, and the one gate through which every command leaves.

An address was checked when it was parsed; the gate checks the finished line again, so that no control
character and, without SMTPUTF8, no octet above 0x7e can ever reach a socket as part of a command (S07).
"""

from __future__ import annotations

import re

from relay.egress.capabilities import Capabilities
from relay.egress.contract import Transaction
from relay.mail.envelope import Notify, Recipient

MAX_ENVID = 100  # RFC 3461 §4.4
MAX_ORCPT = 500  # RFC 3461 §4.2

_UNSAFE_ASCII = re.compile(r"[^\x20-\x7e]")
_UNSAFE_UTF8 = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")  # RFC 3461 §4: printable ASCII but "+" and "="
_NOT_UTF8_XTEXT = re.compile(r"[^!-*,-<>-\[\]-~]")  # RFC 6533 §3: the backslash too

_NOTIFY_WORDS = ((Notify.SUCCESS, "SUCCESS"), (Notify.FAILURE, "FAILURE"), (Notify.DELAY, "DELAY"))


class UnsafeCommandError(ValueError):
    """A command holds an octet that may not be sent; the text never repeats it."""


def encode_command(line: str, *, utf8: bool = False) -> bytes:
    """The command with its CRLF. Raises UnsafeCommandError."""
    unsafe = _UNSAFE_UTF8 if utf8 else _UNSAFE_ASCII
    if unsafe.search(line):
        raise UnsafeCommandError(f"a {line[:4].strip()!r} command holds an octet that may not be sent")
    return f"{line}\r\n".encode()


def mail_parameters(transaction: Transaction, offered: Capabilities, *, eightbit: bool, utf8: bool) -> str:
    """What follows the reverse-path in MAIL, each only where it was offered (D04, D14, D15, RFC 3461 §4.3)."""
    words = ""
    if offered.takes_size:
        words += f" SIZE={transaction.size}"
    if eightbit and offered.eightbit:
        words += " BODY=8BITMIME"
    if utf8:
        words += " SMTPUTF8"
    if offered.dsn:
        if transaction.ret is not None:
            words += f" RET={transaction.ret.value}"
        if transaction.envid is not None and len(encoded := xtext(transaction.envid)) <= MAX_ENVID:
            words += f" ENVID={encoded}"
    return words


def rcpt_parameters(recipient: Recipient, offered: Capabilities) -> str:
    """What follows the recipient in RCPT where DSN was offered (RFC 3461 §4.1, §4.2)."""
    if not offered.dsn:
        return ""
    words = ""
    if recipient.notify is not None:
        words = f" NOTIFY={_notify_words(recipient.notify)}"
    if recipient.orcpt is not None and (original := _orcpt(recipient.orcpt)):
        words += f" ORCPT={original}"
    return words


def _notify_words(notify: Notify) -> str:
    return ",".join(word for flag, word in _NOTIFY_WORDS if flag in notify) if notify else "NEVER"


def _orcpt(text: str) -> str:
    """`type;xtext`, empty where it cannot be expressed or is too long to be sent."""
    kind, _, address = text.partition(";")
    if kind.lower() == "utf-8":
        encoded = _NOT_UTF8_XTEXT.sub(lambda match: f"\\x{{{ord(match[0]):X}}}", address)
    elif address.isascii():
        encoded = xtext(address)
    else:
        return ""
    return f"{kind};{encoded}" if len(encoded) <= MAX_ORCPT else ""


def xtext(text: str) -> str:
    """`text` with everything but plain printable ASCII as `+XX` of its UTF-8 octets (RFC 3461 §4)."""
    return _NOT_XTEXT.sub(lambda match: "".join(f"+{octet:02X}" for octet in match[0].encode()), text)
