"""Text of a request that is stored or compared as it came: what no database takes is refused at the door."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("it holds a NUL")
    return value


Words = Annotated[str, AfterValidator(_without_nul)]
"""Anything but NUL, which PostgreSQL's text has not."""
