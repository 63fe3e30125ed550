"""What went wrong with a page, as a page: one table from exceptions to kinds; each side says them in its words."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.pages.form import ForeignFormError, UnreadableFormError

_log = Log("pages")


class Trouble(StrEnum):
    """Why there is no other page."""

    FOREIGN = "foreign"
    """A form that no page of ours sent."""
    UNREADABLE = "unreadable"
    UNAVAILABLE = "unavailable"
    """The database does not answer."""
    MISSING = "missing"
    """No such page, or not for this method; the status says which."""
    BROKEN = "broken"
    """A mistake of ours; it is in the log."""


Tell = Callable[[web.Request, Trouble, int], web.Response]
"""Makes the page for a trouble, with this status."""


def pages_for_errors(tell: Tell) -> Middleware:
    """The outermost of an application's middlewares: whatever its handlers raise, people get a page.

    The log names the route, not the path that was asked: a path may be somebody's secret link.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ForeignFormError:
            return tell(request, Trouble.FOREIGN, HTTPStatus.FORBIDDEN)
        except UnreadableFormError:
            return tell(request, Trouble.UNREADABLE, HTTPStatus.BAD_REQUEST)
        except SpoolUnavailableError as error:
            _log.warning("store-unavailable", route=route_of(request), why=str(error))
            return tell(request, Trouble.UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE)
        except web.HTTPException as error:
            response = tell(request, Trouble.MISSING, error.status)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - people get a page in their words, the log gets the rest
            _log.exception("page-broke", route=route_of(request))
            return tell(request, Trouble.BROKEN, HTTPStatus.INTERNAL_SERVER_ERROR)

    return middleware


def route_of(request: web.Request) -> str:
    """The route that a request took, as "/desk/letter/{id}"; "" where it took none."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical
