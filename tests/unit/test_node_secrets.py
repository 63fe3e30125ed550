"""The node's secrets and the private files they lie in."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from datetime import date
from pathlib import Path

import pytest

from relay.errors import ConfigurationError
from relay.ids import SeededEntropy, SystemEntropy
from relay.node_secrets import SECRET_NAMES, ensure_secrets, rotate_token_key, token_keys
from relay.private_file import write_private_file
from relay.tokens import KEY_LIFE, TokenKey


def test_they_are_made_once_and_read_ever_after(tmp_path: Path) -> None:  # L10
    folder = tmp_path / "secrets"
    first = ensure_secrets(folder, SystemEntropy())
    assert ensure_secrets(folder, SystemEntropy()) == first
    assert len(set(astuple(first)[:5])) == 5
    assert {len(secret) for secret in astuple(first)[:5]} == {32}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in folder.iterdir()) == sorted(SECRET_NAMES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_each_field_has_the_file_of_its_name(tmp_path: Path) -> None:
    made = ensure_secrets(tmp_path / "s", SeededEntropy(1))
    for name in SECRET_NAMES:
        assert getattr(made, name.replace("-", "_")).hex() == (tmp_path / "s" / name).read_text().strip()


def test_they_are_not_printed(tmp_path: Path) -> None:
    assert repr(ensure_secrets(tmp_path / "s", SeededEntropy(1))) == "NodeSecrets()"


def test_workers_that_start_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: ensure_secrets(tmp_path / "s", SystemEntropy()), range(8)))
    assert len(set(map(astuple, found))) == 1


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    ensure_secrets(tmp_path, SystemEntropy())
    (tmp_path / "link").chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"link has mode 0640; run `chmod 600"):
        ensure_secrets(tmp_path, SystemEntropy())


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31])
def test_a_damaged_secret_is_refused(tmp_path: Path, text: str) -> None:
    ensure_secrets(tmp_path, SystemEntropy())
    (tmp_path / "form").write_text(text)
    with pytest.raises(ConfigurationError, match="form is no secret: it must hold 64 hexadecimal digits"):
        ensure_secrets(tmp_path, SystemEntropy())


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    with pytest.raises(ConfigurationError, match=r"folder of secrets cannot be used: .*/s: File exists"):
        ensure_secrets(tmp_path / "s", SystemEntropy())


def test_a_private_file_is_never_overwritten_and_leaves_no_draft(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_private_file(tmp_path / "a", b"one")
    finally:
        os.umask(old)
    with pytest.raises(FileExistsError):
        write_private_file(tmp_path / "a", b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"one"


def test_a_rotated_token_key_goes_on_verifying(tmp_path: Path) -> None:
    today = date(2026, 11, 22)
    first = ensure_secrets(tmp_path, SystemEntropy()).return_token
    assert token_keys(tmp_path) == (TokenKey(first),)
    rotate_token_key(tmp_path, SystemEntropy(), today, only_prepare=False)
    second = ensure_secrets(tmp_path, SystemEntropy()).return_token
    assert token_keys(tmp_path) == (TokenKey(second), TokenKey(first, date(2026, 11, 22) + KEY_LIFE))
    assert stat.S_IMODE((tmp_path / "return-token").stat().st_mode) == 0o600
    later = date(2029, 12, 1)
    rotate_token_key(tmp_path, SystemEntropy(), later, only_prepare=False)
    assert [key.good_until for key in token_keys(tmp_path)] == [None, later + KEY_LIFE], "the first one's time is over"


def test_a_cluster_prepares_a_key_before_it_signs(tmp_path: Path) -> None:
    today = date(2026, 11, 22)
    first = ensure_secrets(tmp_path, SystemEntropy()).return_token
    rotate_token_key(tmp_path, SystemEntropy(), today, only_prepare=True)
    signing, prepared = token_keys(tmp_path)
    assert signing == TokenKey(first)
    rotate_token_key(tmp_path, SystemEntropy(), today, only_prepare=True)
    assert token_keys(tmp_path) == (signing, prepared), "one is prepared already"
    rotate_token_key(tmp_path, SystemEntropy(), today, only_prepare=False)
    assert token_keys(tmp_path) == (prepared, TokenKey(first, date(2026, 11, 22) + KEY_LIFE))


@pytest.mark.parametrize("line", ["ab" * 31, "ab" * 32 + " soon"])
def test_a_damaged_token_key_is_refused(tmp_path: Path, line: str) -> None:
    ensure_secrets(tmp_path, SystemEntropy())
    with (tmp_path / "return-token").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ConfigurationError, match="return-token"):
        token_keys(tmp_path)
