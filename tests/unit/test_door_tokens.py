"""The tokens of the desk and of the operator's pages: made once, private, a name each; a wrong line is named."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from relay.door_tokens import ADMIN_FILE, DESK_FILE, ensure_admin_tokens, ensure_desk_tokens
from relay.errors import ConfigurationError
from relay.ids import SystemEntropy
from relay.private_file import replace_private_file


def test_they_are_made_once_and_private(tmp_path: Path) -> None:
    made = ensure_desk_tokens(tmp_path / "s", SystemEntropy())
    assert list(made) == ["moderator"]
    assert len(made["moderator"]) == 32
    assert ensure_desk_tokens(tmp_path / "s", SystemEntropy()) == made
    assert stat.S_IMODE((tmp_path / "s" / DESK_FILE).stat().st_mode) == 0o600


def test_an_operator_and_a_moderator_have_tokens_apart(tmp_path: Path) -> None:
    operators, moderators = (ensure(tmp_path, SystemEntropy()) for ensure in (ensure_admin_tokens, ensure_desk_tokens))
    assert list(operators) == ["operator"]
    assert operators["operator"] not in moderators.values()
    assert stat.S_IMODE((tmp_path / ADMIN_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "line", [b"Ann aaaaaaaaaaaaaaaaaaaaaaaa", b"ann short", b"ann", b"moderator aaaaaaaaaaaaaaaaaaaaaaaa"]
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes) -> None:
    ensure_desk_tokens(tmp_path, SystemEntropy())
    path = tmp_path / DESK_FILE
    replace_private_file(path, path.read_bytes() + b"\nbob bbbbbbbbbbbbbbbbbbbbbbbb\n" + line + b"\n")
    with pytest.raises(ConfigurationError, match=":4"):
        ensure_desk_tokens(tmp_path, SystemEntropy())
