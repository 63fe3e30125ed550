"""`make bench`: every benchmark at a size that ends in some minutes, one after the other.

A part of the report that cannot run says why (Postfix's smtp-source missing, no PostgreSQL) and the rest goes on; the
exit status is 1 if one of them failed.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

PARTS = (
    ("the whole relay, end to end", ("whole_relay", "3000")),
    ("what a message costs while others wait", ("growth", "--most", "20000")),
    ("the door", ("submission_session",)),
    ("a transaction to the far side", ("egress_session",)),
    ("signing", ("signing",)),
    ("reading what comes back", ("reading_reports",)),
    ("the front at 140 letters a minute", ("front",)),
    ("moderation of a letter", ("moderation",)),
)
SECONDS = 900
"""The most one part may take."""


def main() -> int:
    """Run all of them; the exit status."""
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f} before we began", flush=True)
    failed = []
    for title, (module, *arguments) in PARTS:
        print(f"\n== {title} (python -m {' '.join((f'benchmarks.{module}', *arguments))})", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        try:
            status = subprocess.run(command, cwd=Path(__file__).parents[1], timeout=SECONDS, check=False).returncode
        except subprocess.TimeoutExpired:
            status = 1
            print(f"not done within {SECONDS} s")
        if status != 0:
            failed.append(module)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
