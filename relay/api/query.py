"""A request's query string, read by a pydantic model: unknown and repeated names are refused, like fields of a body."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from relay.api.problem import FieldError, Problem, from_validation

_Model = TypeVar("_Model", bound="Query")


class Query(BaseModel):
    """The parameters of one operation; values come as text, so they are not strict."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_query(request: web.Request, model: type[_Model]) -> _Model | Problem:
    """The query as `model`, or what is wrong with it."""
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "A parameter is repeated.", (FieldError(name, "once"),))
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        return from_validation(error)
