"""`leak send`: hands a message from standard input to the node by SMTP, with the options of sendmail.

So it can stand in for `/usr/sbin/sendmail` (called by that name, it is this command). It needs no right to read the
node's configuration or spool. All recipients are accepted or nothing is sent. Exit status as in sysexits.h:
0 accepted, 64 wrong usage, 69 refused, 75 try again later.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from relay.cli.handover import Server, ServerRefusalError, hand_over
from relay.cli.mail_text import add_missing_from, blind_recipients, header_addresses, with_crlf
from relay.mail.address import Address, AddressError, parse_address
from relay.mail.author import parse_mailboxes
from relay.mail.header import HeaderError

OK: Final = 0
USAGE: Final = 64
UNAVAILABLE: Final = 69
TEMPORARY: Final = 75
DEFAULT_SERVER: Final = "127.0.0.1:587"

HELP: Final = """\
Usage: leak send [OPTIONS] [RECIPIENT]...

  Send the message on standard input through the node.

Options:
  -t                    take recipients from To, Cc and Bcc as well; Bcc is removed
  -f ADDRESS            envelope sender; "<>" for none (default: the From field)
  -F NAME               full name, used when the message has no From field
  -i, -oi               a line with a single dot does not end the message
  --server HOST:PORT    the node; "/tls" after it means implicit TLS (LEAK_SEND_SERVER, default 127.0.0.1:587)
  --user NAME           authenticate (LEAK_SEND_USER)
  --password-file FILE  the password or API key is its first line (LEAK_SEND_PASSWORD holds it directly)
  --ca-file FILE        trust this certificate authority too (LEAK_SEND_CA_FILE)
  --help                show this message

  Options of sendmail without meaning here (-v, -n, -o…, -B, -N, -R, -V, -bm…) are accepted and ignored.
  Exit status: 0 accepted, 64 wrong usage, 69 refused, 75 try again later.
"""

# What sendmail takes with a value, and what this program has no use for.
_IGNORED_WITH_VALUE: Final = "BNRVLOXhrp"
_IGNORED: Final = "vnGUm"
_LONG: Final = {"--server", "--user", "--password-file", "--ca-file", "--config"}
"""`--config` is taken wherever every command takes it, and not read."""


class SendUsageError(Exception):
    """The command line cannot be understood; the text says what is allowed."""


@dataclass(slots=True)
class Order:
    """What the command line asks for."""

    recipients: list[str] = field(default_factory=list)
    from_header: bool = False
    sender: str | None = None
    full_name: str = ""
    dot_ends: bool = True
    options: dict[str, str] = field(default_factory=dict)
    help: bool = False


def main(words: Sequence[str]) -> int:
    """Send what stands on standard input; the exit status."""
    try:
        order = parse(words)
        if order.help:
            sys.stdout.write(HELP)
            return OK
        server = _server(order, os.environ)
        return _send(order, server, sys.stdin.buffer.read())
    except SendUsageError as error:
        return _complain(str(error), USAGE)
    except HeaderError as error:
        return _complain(str(error), USAGE)
    except (AddressError, UnicodeEncodeError) as error:
        return _complain(f"an address is not valid: {error}", USAGE)


def _complain(text: str, status: int) -> int:
    sys.stderr.write(f"leak send: {text}\n")
    return status


def parse(words: Sequence[str]) -> Order:
    """The order in a command line. Raises SendUsageError."""
    order = Order()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            order.recipients += rest
            break
        if word.startswith("--"):
            _long_option(order, word, rest)
        elif word.startswith("-") and word != "-":
            _short_options(order, word[1:], rest)
        else:
            order.recipients.append(word)
    return order


def _long_option(order: Order, word: str, rest: list[str]) -> None:
    name, equals, value = word.partition("=")
    if name == "--help":
        order.help = True
    elif name not in _LONG:
        raise SendUsageError(f"unknown option {name}; see leak send --help")
    else:
        order.options[name] = value if equals else _value(name, "", rest)


def _value(name: str, attached: str, rest: list[str]) -> str:
    if attached:
        return attached
    if not rest:
        raise SendUsageError(f"{name} needs a value")
    return rest.pop(0)


def _short_options(order: Order, cluster: str, rest: list[str]) -> None:
    """One word such as `ti`, `fann@leak.example` or `oi`; a letter with a value takes what is left of it."""
    while cluster:
        letter, cluster = cluster[0], cluster[1:]
        match letter:
            case "t":
                order.from_header = True
            case "i":
                order.dot_ends = False
            case "f" | "r":
                order.sender, cluster = _value(f"-{letter}", cluster, rest), ""
            case "F":
                order.full_name, cluster = _value("-F", cluster, rest), ""
            case "e":
                cluster = ""
            case "o":
                order.dot_ends = order.dot_ends and cluster != "i"
                cluster = ""
            case "b":
                if cluster not in {"m", ""}:
                    raise SendUsageError(f"-b{cluster} is not offered: this command only sends; see leak queue")
                cluster = ""
            case _ if letter in _IGNORED_WITH_VALUE:
                _value(f"-{letter}", cluster, rest)
                cluster = ""
            case _ if letter in _IGNORED:
                pass
            case _:
                raise SendUsageError(f"unknown option -{letter}; see leak send --help")


def _server(order: Order, environment: Mapping[str, str]) -> Server:
    def setting(option: str, variable: str, default: str = "") -> str:
        return order.options.get(option) or environment.get(variable) or default

    address, _, scheme = setting("--server", "LEAK_SEND_SERVER", DEFAULT_SERVER).partition("/")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536 or scheme not in {"", "tls"}:
        raise SendUsageError('the server is written "host:port" or "host:port/tls"')
    password = environment.get("LEAK_SEND_PASSWORD", "")
    if file := order.options.get("--password-file"):
        try:
            password = Path(file).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError):
            raise SendUsageError(f"{file} cannot be read") from None
    user = setting("--user", "LEAK_SEND_USER")
    if user and not password:
        raise SendUsageError("a user needs a password: give --password-file or set LEAK_SEND_PASSWORD")
    ca_file = setting("--ca-file", "LEAK_SEND_CA_FILE")
    if ca_file:
        _check_authority(ca_file)
    return Server(
        host=host.removeprefix("[").removesuffix("]"),
        port=int(port),
        implicit_tls=scheme == "tls",
        user=user,
        password=password,
        ca_file=ca_file,
    )


def _check_authority(file: str) -> None:
    """Name the file while it is known to be the cause: within the handshake it looks like the server's fault."""
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise SendUsageError(f"--ca-file: {file} holds no certificate in PEM form") from None
    except OSError as error:
        raise SendUsageError(f"--ca-file: {file} cannot be read: {error.strerror}") from None


def _send(order: Order, server: Server, text: bytes) -> int:
    content = with_crlf(text, dot_ends=order.dot_ends)
    recipients = [one for word in order.recipients for one in parse_mailboxes(word.encode(), "the recipient")]
    if order.from_header:
        recipients += header_addresses(content)
        content = blind_recipients(content)
    if not recipients:
        raise SendUsageError("no recipients; name them, or use -t to take them from the message")
    sender = _sender(order, content)
    content = add_missing_from(content, sender, order.full_name)
    try:
        hand_over(server, str(sender or ""), list(dict.fromkeys(map(str, recipients))), content)
    except ServerRefusalError as error:
        return _complain(str(error), TEMPORARY if error.temporary else UNAVAILABLE)
    return OK


def _sender(order: Order, content: bytes) -> Address | None:
    """-f, else the From field, else the user at this host, as sendmail has it; None is the null path."""
    if order.sender is not None:
        bare = order.sender.strip().removeprefix("<").removesuffix(">")
        return parse_address(bare) if bare else None
    authors = header_addresses(content, ("from",))
    if authors:
        return authors[0]
    import getpass
    import socket

    return guessed_sender(getpass.getuser(), socket.getfqdn())


def guessed_sender(user: str, host: str) -> Address:
    """The user at this host. SendUsageError when the host's name is not a qualified one: no node would take it."""
    try:
        return parse_address(f"{user}@{host}")
    except AddressError:
        raise SendUsageError(
            f"the message has no From field, and {user}@{host}, guessed from this host's name, is no address others"
            " know; name the sender with -f ADDRESS"
        ) from None
