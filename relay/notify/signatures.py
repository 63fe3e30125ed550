"""The secrets of webhooks, and the two ways to sign with them. Pure.

A secret is derived from the node's `webhook` key and what the database knows of the webhook: neither of the two
gives it away alone, and nothing more need be kept or lost.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from relay.notify.webhook import Form

PREFIX: Final = "whsec_"


def make_secret(node_key: bytes, form: Form, salt: str, generation: int) -> str:
    """A webhook's secret as its receiver is given it: 256 bits."""
    digest = hmac.digest(node_key, f"{form}:{salt}:{generation}".encode(), "sha256")
    match form:
        case Form.STANDARD:
            return PREFIX + base64.b64encode(digest).decode()
        case Form.MANDRILL:
            return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def standard_headers(secrets: Sequence[str], event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks: one signature for each secret in force; `timestamp` in seconds."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.digest(base64.b64decode(secret.removeprefix(PREFIX)), signed, "sha256")).decode()
        for secret in secrets
    ]
    return {"webhook-id": event_id, "webhook-timestamp": str(timestamp), "webhook-signature": " ".join(signatures)}


def mandrill_signature(secret: str, url: str, fields: Mapping[str, str]) -> str:
    """X-Mandrill-Signature: over the URL as it was configured and the form's unescaped names and values, sorted."""
    signed = url + "".join(name + fields[name] for name in sorted(fields))
    # The form asks for SHA-1; as an HMAC it is sound.
    return base64.b64encode(hmac.new(secret.encode(), signed.encode(), hashlib.sha1).digest()).decode()
