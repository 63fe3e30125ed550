"""What holds for every crash test: processes of ours start, die and start again beside whatever else a machine does."""

from __future__ import annotations

from pathlib import Path

import pytest

SECONDS = 300
"""For a test that names no time of its own: a start takes two seconds of a processor, which may be a minute of ours."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS))
