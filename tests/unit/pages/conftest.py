"""What is logged, as it is written."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from relay.log import configure_logging


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)
