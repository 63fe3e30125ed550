"""How a command ends: its exit status, and what is said of a failure on standard error, without a traceback.

Apart from the commands, so that what must start quickly need not load them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relay.cli.output import CommandError, UsageError, warn
from relay.errors import ConfigurationError, LeakError

DONE: Final = 0
FAILED: Final = 1
WRONG: Final = 2


def told_status(work: Callable[[], int]) -> int:
    """The exit status of a command's work, or of what broke it."""
    try:
        return work()
    except (ConfigurationError, UsageError) as error:
        warn(f"leak: {error}")
        return WRONG
    except (CommandError, LeakError) as error:
        warn(f"leak: {error}")
        return FAILED
    except OSError as error:
        warn(f"leak: {error.filename or 'the system'}: {error.strerror or error}")
        return FAILED
