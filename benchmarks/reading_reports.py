"""How many messages that come back are read a second on one core: `python benchmarks/reading_reports.py [ROUNDS]`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from relay.report.reading import read_report
from tests.support.delivery_reports import variants

SAMPLES = Path(__file__).resolve().parents[1] / "tests" / "data" / "bounces"


def measure(messages: list[bytes], rounds: int) -> float:
    """Messages a second of CPU time; each round is another domain, so that remembered answers do not help."""
    started = time.process_time()
    for number in range(rounds):
        for raw in messages:
            read_report(raw.replace(b"far.example", b"far%d.example" % number))
    return rounds * len(messages) / (time.process_time() - started)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    standard = [raw for _, raw in variants()]
    others = [file.read_bytes() for file in sorted(SAMPLES.glob("*.eml"))]
    measure(standard + others, 1)
    for name, messages in (("delivery reports (RFC 3464)", standard), ("free text and other mail", others)):
        print(f"{name:32} {measure(messages, rounds):7.0f} a second")


if __name__ == "__main__":
    main()
