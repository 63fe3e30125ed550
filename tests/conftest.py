"""What holds for every test: uvloop as in production, and no test left out where everything is installed."""

from __future__ import annotations

import asyncio
import os

import pytest
import uvloop


@pytest.fixture(scope="session")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """The loop of production."""
    return uvloop.EventLoopPolicy()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI every program is there, so a skipped test is a hole in the net."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None or hasattr(session.config, "workerinput"):
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        for report in skipped:
            reporter.write_line(f"skipped in CI: {report.nodeid}: {report.longrepr}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
