"""When Python looks for garbage that reference counts leave, and when it is known that there is none.

Under the command line and the supervisor. What a start builds stays for as long as the process: looking through
it again and again while it grows takes a sixth of the start's time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

THRESHOLD: Final = 5_000
"""New objects that can form cycles, after which young ones are looked through; Python's own is 700."""


@contextmanager
def keeping_all() -> Iterator[None]:
    """For loading modules: no search for cycles, and none ever among what was made inside."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def settle() -> None:
    """Leave what was built at the start alone, and look for cycles less often.

    Nearly all of a message's objects go by their reference counts; looking through the modules and the settings
    again and again for cycles that are not there costs some five per cent of the processor.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD)
