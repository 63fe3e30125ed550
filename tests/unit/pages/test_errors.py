"""Whatever a handler raises becomes a page of its kind; the log gets the route and the error, never a secret link."""

from __future__ import annotations

import io

import pytest
from aiohttp import ClientSession, web

from relay.errors import SpoolFullError, SpoolUnavailableError
from relay.pages.errors import Trouble, pages_for_errors
from relay.pages.form import ForeignFormError, UnreadableFormError
from tests.support.served import served

SECRET = "k7-the-secret-of-a-link"


def raising(error: Exception) -> web.Application:
    """An application whose every page behind a secret raises this."""

    async def handler(_: web.Request) -> web.StreamResponse:
        raise error

    def tell(_: web.Request, trouble: Trouble, status: int) -> web.Response:
        return web.Response(text=trouble.value, status=status)

    inner = web.Application()
    inner.router.add_get("/letter/{secret}", handler)
    app = web.Application(middlewares=[pages_for_errors(tell)])
    app.add_subapp("/desk", inner)
    return app


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (ForeignFormError(), "foreign", 403),
        (UnreadableFormError(), "unreadable", 400),
        (SpoolUnavailableError("away"), "unavailable", 503),
        (SpoolFullError("full"), "unavailable", 503),
        (web.HTTPNotFound(), "missing", 404),
        (web.HTTPRequestEntityTooLarge(1, 2), "missing", 413),
        (KeyError("x"), "broken", 500),
    ],
)
async def test_each_error_has_its_page(error: Exception, kind: str, status: int) -> None:
    async with (
        served(raising(error)) as url,
        ClientSession() as session,
        session.get(f"{url}/desk/letter/{SECRET}") as answer,
    ):
        assert (answer.status, await answer.text()) == (status, kind)


async def test_a_method_that_is_not_allowed_says_which_are() -> None:
    async with (
        served(raising(KeyError())) as url,
        ClientSession() as session,
        session.post(f"{url}/desk/letter/x") as answer,
    ):
        assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")


@pytest.mark.parametrize("error", [KeyError("x"), SpoolUnavailableError("away")])
async def test_the_log_names_the_route_and_no_secret(error: Exception, log_lines: io.StringIO) -> None:
    async with (
        served(raising(error)) as url,
        ClientSession() as session,
        session.get(f"{url}/desk/letter/{SECRET}") as answer,
    ):
        assert answer.status in (500, 503)
    assert '"route": "/desk/letter/{secret}"' in log_lines.getvalue()
    assert SECRET not in log_lines.getvalue()
