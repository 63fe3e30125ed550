"""What Mandrill's API says when it says no: four keys, a name that clients make an exception of, a status. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from pydantic import ValidationError

from relay.api.problem import Problem, from_validation

_KNOWN: Final[Mapping[str, tuple[int, HTTPStatus]]] = {
    "Invalid_Key": (-1, HTTPStatus.UNAUTHORIZED),
    "ValidationError": (-2, HTTPStatus.UNPROCESSABLE_ENTITY),
    "Unknown_Message": (11, HTTPStatus.NOT_FOUND),
    "Unknown_Subaccount": (12, HTTPStatus.NOT_FOUND),
    "Unknown_Webhook": (3, HTTPStatus.NOT_FOUND),
    "Invalid_Reject": (4, HTTPStatus.NOT_FOUND),
    "Invalid_Tag_Name": (1, HTTPStatus.BAD_REQUEST),
    "RequestLimitExceeded": (429, HTTPStatus.TOO_MANY_REQUESTS),
    "ServiceUnavailable": (-2, HTTPStatus.SERVICE_UNAVAILABLE),
    "GeneralError": (-1, HTTPStatus.INTERNAL_SERVER_ERROR),
    "Unknown_Method": (-1, HTTPStatus.NOT_FOUND),
    "Unknown_Format": (-1, HTTPStatus.NOT_ACCEPTABLE),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A refusal; `name` is one of Mandrill's, `message` for a person."""

    name: str
    message: str

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status of API 1.1 and later; 1.0 answered every fault with 500."""
        return _KNOWN[self.name][1]

    def document(self) -> dict[str, object]:
        """The error body."""
        return {"status": "error", "code": _KNOWN[self.name][0], "name": self.name, "message": self.message}


def invalid(field: str, complaint: str) -> Fault:
    """A field that cannot be taken as it is."""
    return _told({field or "message": complaint})


def from_pydantic(error: ValidationError) -> Fault:
    """What is wrong with a document; values of the request are never repeated."""
    return of_problem(from_validation(error))


def of_problem(problem: Problem) -> Fault:
    """A refusal of the HTTP door in Mandrill's form."""
    match problem.status:
        case HTTPStatus.UNAUTHORIZED:
            return Fault("Invalid_Key", "Invalid API key")
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Fault("RequestLimitExceeded", problem.detail)
        case HTTPStatus.SERVICE_UNAVAILABLE | HTTPStatus.INSUFFICIENT_STORAGE | HTTPStatus.REQUEST_TIMEOUT:
            return Fault("ServiceUnavailable", problem.detail)
        case HTTPStatus.UNPROCESSABLE_ENTITY if problem.errors:
            return _told({one.field or "message": one.detail for one in problem.errors})
        case HTTPStatus.INTERNAL_SERVER_ERROR:
            return Fault("GeneralError", problem.detail)
        case _:
            return Fault("ValidationError", problem.detail)


def _told(complaints: Mapping[str, str]) -> Fault:
    return Fault("ValidationError", f"Validation error: {json.dumps(complaints, ensure_ascii=False)}")
