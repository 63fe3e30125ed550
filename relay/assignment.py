"""What a supervisor tells a worker, and what a worker's end tells its supervisor.

Apart from the worker itself, so that a supervisor need not load the node: it starts its workers a second sooner.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from typing import Any, Final, cast

from relay.listeners import Listener, Purpose
from relay.policy.quarantine import Death
from relay.settings import parse_listen

ENVIRONMENT: Final = "LEAK_WORKER"
REPLACED_STATUS: Final = 3
"""With which a worker ends, and then its node, when another took its name: to start it again is to start a fight."""

ANEW_STATUS: Final = 4
"""With which a worker ends that others had given up: it was paused, or cut off. It is to be started again at once."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a supervisor tells a worker, as JSON in its environment."""

    worker: int
    workers: int
    sockets: tuple[tuple[str, str, int], ...]
    """(purpose, address, descriptor) of each listener."""
    restarts: int = 0
    """How often workers of this supervisor died within ten minutes."""
    fell: Death = Death.KILLED
    """How the worker before it ended."""

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(
            {
                "worker": self.worker,
                "workers": self.workers,
                "sockets": [list(one) for one in self.sockets],
                "restarts": self.restarts,
                "fell": self.fell.value,
            }
        )

    @classmethod
    def load(cls, text: str) -> Assignment:
        """From JSON. What an older supervisor, whose program was replaced beneath it, does not tell has its default."""
        data = json.loads(text)
        sockets = tuple((purpose, address, fd) for purpose, address, fd in data["sockets"])
        fell = Death(data.get("fell", Death.KILLED.value))
        return cls(data["worker"], data["workers"], sockets, data["restarts"], fell)

    def listeners(self) -> list[Listener]:
        """The inherited sockets."""
        return [
            Listener(cast("Purpose", purpose), parse_listen(address), socket.socket(fileno=fd))
            for purpose, address, fd in self.sockets
        ]


def lone_assignment() -> Assignment:
    """The assignment of a worker without a supervisor."""
    return Assignment(0, 1, ())


def inherited() -> Assignment | None:
    """What our supervisor tells us, None when there is none."""
    text: Any = os.environ.get(ENVIRONMENT)
    return Assignment.load(text) if text else None
