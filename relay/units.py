"""Durations and sizes as people write them: "5m", "1h30m", "25 MB"."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZE_UNITS = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?i?b)?", re.IGNORECASE)


def parse_duration(text: str) -> timedelta:
    """A duration such as "90s", "1h30m" or "5 d"; ValueError says what is allowed."""
    compact = text.strip().lower()
    parts = _DURATION.findall(compact)
    if not parts or _DURATION.sub("", compact).strip():
        raise ValueError(f'{text!r} is not a duration; write a number and ms, s, m, h, d or w, as in "1h30m"')
    return timedelta(seconds=sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts))


def format_duration(span: timedelta) -> str:
    """The two largest units of a duration, rounded down: "2h 5m", "3d", "40s"; negative spans read "0s"."""
    seconds = max(0, int(span.total_seconds()))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Bytes of a size such as "25 MB" (10⁶) or "64 KiB" (2¹⁰); ValueError says what is allowed."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'{text!r} is not a size; write a number and B, kB, MB, GB, KiB, MiB or GiB, as in "25 MB"')
    return int(float(match[1]) * _SIZE_UNITS[(match[2] or "").lower()])


def format_size(count: int) -> str:
    """A size with one decimal in the largest fitting decimal unit: "1.4 MB"."""
    for unit, factor in (("GB", 1000**3), ("MB", 1000**2), ("kB", 1000)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
