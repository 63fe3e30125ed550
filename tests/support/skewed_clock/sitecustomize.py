"""For the R18 test alone: with this folder on PYTHONPATH, workers of one node disagree about the time.

`LEAK_TEST_SKEW` is how many seconds the wall clock of every other worker is behind; monotonic clocks are left alone.
"""

import json
import os
from datetime import UTC, datetime, timedelta

if os.environ.get("LEAK_TEST_SKEW") and os.environ.get("LEAK_WORKER"):
    from relay.clock import SystemClock

    number: int = json.loads(os.environ["LEAK_WORKER"])["worker"]
    behind = timedelta(seconds=float(os.environ["LEAK_TEST_SKEW"])) * (number % 2)

    def skewed(self: SystemClock) -> datetime:
        """As `SystemClock.now`, but for the skew."""
        return datetime.now(UTC) - behind

    SystemClock.now = skewed  # type: ignore[method-assign]
