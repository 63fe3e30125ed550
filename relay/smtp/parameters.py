"""Arguments of MAIL and RCPT: paths, ESMTP parameters and xtext, read strictly (RFC 5321 §4.1.1.2–3).

Every SMTP door reads its commands here, so that there is one rule: brackets are required, spaces after the
colon are tolerated because many clients send them, source routes and address literals are refused. Values
keep their case. A refusal is returned as the `Reply` to send; nothing here raises for bad input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from relay.mail.address import NULL_PATH, Address, AddressError, ReversePath, parse_address
from relay.mail.envelope import Notify, Recipient, Return
from relay.smtp.reply import Reply, reply

MAX_ENVID: Final = 100
"""Octets of ENVID as encoded (RFC 3461 §4.4)."""
MAX_ORCPT: Final = 500
"""Octets of ORCPT as encoded (RFC 3461 §4.2)."""

_PATH = re.compile(r' *<((?:[^"<>\\ ]|"(?:[^"\\]|\\.)*")*)>(?: +(.*))?')
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u00a0-\U0010ffff]+))?")
_SIZE = re.compile(r"[0-9]{1,20}")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEX = re.compile(r"\+([0-9A-F]{2})")
_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")
_UNICODE_ESCAPE = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_GRAPHIC = re.compile(r"[ -~]+")


@dataclass(frozen=True, slots=True)
class MailArguments:
    """What MAIL said: `size` in octets as declared, `envid` decoded, `auth` the submitter of RFC 4954 §5."""

    reverse_path: ReversePath
    size: int | None = None
    eight_bit: bool = False
    smtputf8: bool = False
    ret: Return | None = None
    envid: str | None = None
    auth: ReversePath | None = None


class _Refused(Exception):  # noqa: N818 - carries a refusal inside this module only; callers get the value
    def __init__(self, answer: Reply) -> None:
        super().__init__(str(answer))
        self.answer = answer


def parse_mail(argument: str, *, extended: bool = True) -> MailArguments | Reply:
    """The argument of MAIL (`FROM:<path> parameters`), or the reply that refuses it.

    `extended` is False after HELO, where no parameter exists (RFC 5321 §2.2.1).
    """
    try:
        path, parameters = _split(argument, "FROM:", extended)
        fields = {name: convert(value) for name, (convert, value) in _conversions(parameters, _MAIL_PARAMETERS).items()}
        utf8 = fields.get("smtputf8", False)
        reverse_path = _mailbox(path, _SENDER, utf8=utf8) if path else NULL_PATH
        return MailArguments(reverse_path, **fields)
    except _Refused as refused:
        return refused.answer


def parse_rcpt(argument: str, *, smtputf8: bool = False, extended: bool = True) -> Recipient | Reply:
    """The argument of RCPT (`TO:<path> parameters`), or the reply that refuses it.

    `smtputf8` tells whether MAIL asked for it: without it no octet above 127 is allowed (RFC 6531 §3.4).
    """
    try:
        path, parameters = _split(argument, "TO:", extended)
        if not argument.isascii() and not smtputf8:
            raise _Refused(_NON_ASCII)
        fields = {name: convert(value) for name, (convert, value) in _conversions(parameters, _RCPT_PARAMETERS).items()}
        return Recipient(_mailbox(path, _RECIPIENT, utf8=smtputf8), **fields)
    except _Refused as refused:
        return refused.answer


def encode_xtext(text: str) -> str:
    """`text` (ASCII) as xtext of RFC 3461 §4: "+", "=" and what is not graphic become `+XX`."""
    return _NOT_XCHAR.sub(lambda match: f"+{ord(match[0]):02X}", text)


def decode_xtext(text: str) -> str:
    """The text that xtext stands for; ValueError if it is not xtext or holds more than printable ASCII."""
    if not _XTEXT.fullmatch(text):
        raise ValueError("not xtext")
    decoded = _HEX.sub(lambda match: chr(int(match[1], 16)), text)
    if decoded and not _GRAPHIC.fullmatch(decoded):
        raise ValueError("xtext of characters that are not printable ASCII")
    return decoded


@dataclass(frozen=True, slots=True)
class _Role:
    """Which replies a bad address earns: the sender's enhanced codes differ from a recipient's (RFC 3463 §3.2)."""

    syntax: str
    unqualified: str


_SENDER = _Role("5.1.7", "5.1.8")
_RECIPIENT = _Role("5.1.3", "5.1.2")
_NON_ASCII = reply(553, "5.6.7", "non-ASCII characters need the SMTPUTF8 parameter on MAIL")
_NO_PARAMETERS = reply(555, "5.5.4", "parameters need EHLO")


def _bad(text: str) -> _Refused:
    return _Refused(reply(501, "5.5.4", text))


def _split(argument: str, keyword: str, extended: bool) -> tuple[str, str]:
    """Path without brackets and the parameters behind it."""
    if argument[: len(keyword)].upper() != keyword:
        raise _bad(f"expected {keyword}<address>")
    match = _PATH.fullmatch(argument, len(keyword))
    if match is None:
        raise _bad(f"expected {keyword}<address>, with the address in angle brackets")
    parameters = (match[2] or "").strip(" ")
    if parameters and not extended:
        raise _Refused(_NO_PARAMETERS)
    return match[1], parameters


def _mailbox(path: str, role: _Role, *, utf8: bool) -> Address:
    if not path.isascii() and not utf8:
        raise _Refused(_NON_ASCII)
    if path.startswith("@"):
        raise _Refused(reply(501, role.syntax, "source routes are not accepted"))
    try:
        address = parse_address(path, require_fqdn=False)
    except AddressError as error:
        raise _Refused(reply(501, role.syntax, str(error))) from None
    if "." not in address.domain:
        # RFC 6409 §4.2 names 554 for a domain that is not fully qualified.
        raise _Refused(reply(554, role.unqualified, "the domain is not fully qualified"))
    return address


_Converter = Callable[[str | None], Any]


def _conversions(
    parameters: str, known: Mapping[str, tuple[str, _Converter]]
) -> dict[str, tuple[_Converter, str | None]]:
    """Field name → how to read it and its text, for each parameter given; unknown or repeated ones are refused."""
    found: dict[str, tuple[_Converter, str | None]] = {}
    for item in filter(None, parameters.split(" ")):
        match = _PARAMETER.fullmatch(item)
        if match is None:
            raise _bad("malformed parameter")
        name = match[1].upper()
        if name not in known:
            raise _Refused(reply(555, "5.5.4", f"parameter {name[:40]} is not supported"))
        field, convert = known[name]
        if field in found:
            raise _bad(f"parameter {name} given twice")
        found[field] = (convert, match[2])
    return found


def _size(value: str | None) -> int:
    if value is None or not _SIZE.fullmatch(value):
        raise _bad("SIZE needs a number of octets")
    return int(value)


def _body(value: str | None) -> bool:
    name = (value or "").upper()
    if name not in {"7BIT", "8BITMIME"}:
        raise _bad("BODY must be 7BIT or 8BITMIME")
    return name == "8BITMIME"


def _smtputf8(value: str | None) -> bool:
    if value is not None:
        raise _bad("SMTPUTF8 takes no value")
    return True


def _ret(value: str | None) -> Return:
    try:
        return Return((value or "").upper())
    except ValueError:
        raise _bad("RET must be FULL or HDRS") from None


def _envid(value: str | None) -> str:
    try:
        if value is not None and len(value) <= MAX_ENVID:
            return decode_xtext(value)
    except ValueError:
        pass
    raise _bad(f"ENVID must be xtext of at most {MAX_ENVID} characters")


def _auth(value: str | None) -> ReversePath:
    try:
        mailbox = decode_xtext(value or "")
        return NULL_PATH if mailbox == "<>" else parse_address(mailbox, require_fqdn=False)
    except ValueError:
        raise _bad("AUTH must be <> or an address in xtext") from None


def _notify(value: str | None) -> Notify:
    words = (value or "").upper().split(",")
    if words == ["NEVER"]:
        return Notify.NEVER
    if len(set(words)) != len(words) or not set(words) <= {"SUCCESS", "FAILURE", "DELAY"}:
        raise _bad("NOTIFY must be NEVER, or a list of SUCCESS, FAILURE, DELAY")
    wishes = Notify.NEVER
    for word in words:
        wishes |= Notify[word]
    return wishes


def _orcpt(value: str | None) -> str:
    """The original recipient as `type;address`, decoded (RFC 3461 §4.2, RFC 6533 §3)."""
    kind, semicolon, encoded = (value or "").partition(";")
    try:
        if semicolon and encoded and _ATOM.fullmatch(kind) and len((value or "").encode()) <= MAX_ORCPT:
            address = _utf8_address(encoded) if kind.lower() == "utf-8" else decode_xtext(encoded)
            return f"{kind};{address}"
    except ValueError:
        pass
    raise _bad(f"ORCPT must be type;xtext of at most {MAX_ORCPT} characters")


def _utf8_address(text: str) -> str:
    """An address of type utf-8: raw UTF-8, or `\\x{HEX}` for what xtext cannot carry (RFC 6533 §3)."""
    decoded = _UNICODE_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    if not decoded.isprintable():
        raise ValueError("not printable")
    decoded.encode()
    return decoded


_MAIL_PARAMETERS: Final[Mapping[str, tuple[str, _Converter]]] = {
    "SIZE": ("size", _size),
    "BODY": ("eight_bit", _body),
    "SMTPUTF8": ("smtputf8", _smtputf8),
    "RET": ("ret", _ret),
    "ENVID": ("envid", _envid),
    "AUTH": ("auth", _auth),
}
_RCPT_PARAMETERS: Final[Mapping[str, tuple[str, _Converter]]] = {
    "NOTIFY": ("notify", _notify),
    "ORCPT": ("orcpt", _orcpt),
}
