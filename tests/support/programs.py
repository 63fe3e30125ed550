"""Where `.ci/run` unpacks other people's programs that cannot be installed beside each other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

PROGRAMS: Final = Path(os.environ.get("LEAK_TEST_PROGRAMS") or Path.home() / ".cache" / "leak-test-programs")


def found(name: str) -> str | None:
    """The path of a program: as installed, else as unpacked; None where it is neither."""
    places = (os.environ.get("PATH", ""), "/usr/sbin", "/sbin", str(PROGRAMS / "usr" / "bin"))
    return shutil.which(name, path=os.pathsep.join(places))
