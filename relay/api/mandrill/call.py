"""One call of Mandrill's API on its way through the door, and what a part of the door is: calls by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from relay.account.identity import Identity
from relay.api.mandrill.fault import Fault, from_pydantic
from relay.engine.submission import Origin

Document: TypeAlias = Mapping[str, Any] | list[dict[str, Any]] | str
"""What a call answers: an object, a list of objects or, for a ping, a text."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose key was proven; `body` is the JSON document with the key in it."""

    identity: Identity
    body: bytes
    origin: Origin


Handler: TypeAlias = Callable[[Call], Awaitable[Document | Fault]]
Handlers: TypeAlias = Mapping[str, Handler]
"""By name, as "messages/send"."""

_Model = TypeVar("_Model", bound=BaseModel)


def read(model: type[_Model], call: Call) -> _Model | Fault:
    """The call's document, or what is wrong with it."""
    try:
        return model.model_validate_json(call.body)
    except ValidationError as error:
        return from_pydantic(error)


def written(moment: datetime | None) -> str | None:
    """A time as Mandrill writes it: in UTC, without a zone."""
    return None if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")
