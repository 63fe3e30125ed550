"""OpenAPI 3.1 from the operations and their models: it names what exists, because the routes are made of the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from relay import __version__
from relay.api.models import ProblemDocument
from relay.api.operation import Operation
from relay.api.raw_message import ENVELOPE, RAW_TYPE

_PARAMETER = re.compile(r"\{([a-z_]+)\}")
_TEMPLATE: Final = "#/components/schemas/{model}"
_RETRIED: Final = frozenset({429, 503, 507})


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """The OpenAPI document of `operations`."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemDocument, "serialization")]
    for operation in operations:
        if operation.request is not None:
            models.append((operation.request, "validation"))
        if not isinstance(operation.answer, str):
            models.append((operation.answer, "serialization"))
    references, definitions = models_json_schema(list(dict.fromkeys(models)), ref_template=_TEMPLATE)
    schemas = {model: schema for (model, _), schema in references.items() if issubclass(model, BaseModel)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        entry = _entry(operation, schemas)
        paths.setdefault(operation.path, {})[operation.method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {"title": "Leak relay", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"}},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
                "front": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of a front: `leak user add --front`.",
                },
            },
        },
    }


def _entry(operation: Operation, schemas: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": {str(operation.success): _success(operation, schemas)}
        | {str(status): _problem(status, schemas[ProblemDocument]) for status in (*operation.problems, 500)},
        "security": [{operation.access.value or "key": []}] if operation.keyed else [{}],
    }
    if operation.request is not None:
        content: dict[str, Any] = {"application/json": {"schema": schemas[operation.request]}}
        if operation.raw:
            content[RAW_TYPE] = {"schema": {"description": "The message, with CRLF line ends."}}
        entry["requestBody"] = {"required": True, "content": content}
    return entry


def _success(operation: Operation, schemas: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    phrase = HTTPStatus(operation.success).phrase
    if operation.answer == "":
        return {"description": phrase}
    if isinstance(operation.answer, str):
        return {"description": phrase, "content": {operation.answer: {"schema": {"type": "string"}}}}
    return {"description": phrase, "content": {"application/json": {"schema": schemas[operation.answer]}}}


def _problem(status: int, schema: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status in _RETRIED:
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return answer


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(operation.path)
    ]
    if operation.idempotent:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key with the same body answers the same message for 24 hours.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            }
        )
    if operation.raw:
        text = f"With {RAW_TYPE}: `from`, `to` and labels, in ASCII, as the JSON document has them."
        found.append({"name": ENVELOPE, "in": "header", "description": text, "schema": {"type": "string"}})
    if operation.query is not None:
        found += _query(operation.query)
    return found


def _query(model: type[BaseModel]) -> list[dict[str, Any]]:
    """The parameters of a query string; a list is written with commas."""
    found = []
    for name, schema in model.model_json_schema()["properties"].items():
        plain = _without_null(schema)
        entry = {
            "name": name,
            "in": "query",
            "description": plain.pop("description", ""),
            "schema": {key: value for key, value in plain.items() if key != "title"},
        }
        if plain.get("type") == "array":
            entry |= {"style": "form", "explode": False}
        found.append(entry)
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is there or not; it is never null."""
    kinds = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and not (key == "default" and value is None)}
    return rest | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})
