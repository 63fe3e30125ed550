"""What no database takes is refused at the door, not met in a statement."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, ValidationError

from relay.api.models import QueueRequest, SuspendRequest
from relay.api.suppressions import RemovalQuery, SuppressionRequest, SuppressionsQuery
from relay.api.webhook_models import WebhookRequest


@pytest.mark.parametrize(
    ("model", "field", "others"),
    [
        (WebhookRequest, "description", {"url": "https://hooks.example/"}),
        (SuppressionRequest, "detail", {"addresses": ["ann@far.example"]}),
        (SuppressionRequest, "stream", {"addresses": ["ann@far.example"]}),
        (SuppressionsQuery, "stream", {}),
        (RemovalQuery, "stream", {"address": "ann@far.example"}),
        (QueueRequest, "reason", {"all": True}),
        (QueueRequest, "recipient", {}),
        (SuspendRequest, "reason", {"domain": "far.example"}),
    ],
)
def test_a_nul_is_refused_with_the_name_of_its_field(model: type[BaseModel], field: str, others: object) -> None:
    assert isinstance(others, dict)
    model.model_validate_json(json.dumps({**others, field: "x\r\ny"}))
    with pytest.raises(ValidationError) as refused:
        model.model_validate_json(json.dumps({**others, field: "x\0y"}))
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]
