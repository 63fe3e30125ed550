"""The hash by which a signature knows a body."""

from __future__ import annotations

from typing import NewType

BodyHash = NewType("BodyHash", str)
"""What bh= says of a body: SHA-256 of its relaxed form, in base64 (RFC 6376 §3.7)."""
