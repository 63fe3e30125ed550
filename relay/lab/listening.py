"""What can go wrong when the lab binds its ports, said so that a newcomer knows what to do."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterable

from relay.errors import LeakError


class PortTakenError(LeakError):
    """A port of the lab is in use; the text names the port and the setting that moves it."""


class MissingAliasError(LeakError):
    """The machine has only 127.0.0.1; the text gives the commands that add what the lab needs."""


def taken(what: str, host: str, port: int, setting: str, error: OSError) -> LeakError:
    """The error for a bind that failed: a missing loopback address, a taken port, or whatever it was."""
    if error.errno == errno.EADDRNOTAVAIL:
        return missing_aliases([host])
    why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror or error})"
    return PortTakenError(f"{host}:{port} {why}: it is wanted for the lab's {what}; set {setting} to another one")


def missing_aliases(hosts: Iterable[str]) -> MissingAliasError:
    """The error that lists the commands which add loopback addresses."""
    verb = "sudo ifconfig lo0 alias {}" if sys.platform == "darwin" else "sudo ip addr add {}/8 dev lo"
    commands = "\n".join("  " + verb.format(host) for host in hosts)
    return MissingAliasError(
        f"this machine lacks loopback addresses that the lab's mail hosts need; add them:\n{commands}"
    )


def bind_datagrams(host: str, port: int) -> socket.socket:
    """A socket for datagrams there; uvloop leaves one of its own open when it cannot bind it. Raises OSError."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
