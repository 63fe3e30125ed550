"""Archives by the commands: what is refused, what is kept, and that a hostile archive writes nowhere else."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Mapping
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from relay.archive.cipher import ArchiveError, Key, Lock, SealingWriter
from relay.archive.postgres import without_password
from relay.archive.restoring import Target, replace_values, restore_archive
from relay.ids import SeededEntropy
from tests.support.command import leak

PRIVATE = X25519PrivateKey.generate()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node")


def hostile(
    file: Path, manifest: dict[str, Any], members: list[tarfile.TarInfo], contents: Mapping[str, bytes] | None = None
) -> None:
    with file.open("wb") as out:
        sealed = SealingWriter(out, Lock(recipient=PRIVATE.public_key()), SeededEntropy(1))
        with tarfile.open(fileobj=cast("BinaryIO", sealed), mode="w|") as tar:
            usual = {"format": 1, "database": "spool.db", "named": [], "made": "", "name": "x", "spool": "sqlite:x"}
            text = json.dumps({**usual, **manifest}).encode()
            entry = tarfile.TarInfo("manifest.json")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
            for member in members:
                tar.addfile(member, io.BytesIO(b"x" * member.size))
            for name, octets in (contents or {}).items():
                entry = tarfile.TarInfo(name)
                entry.size = len(octets)
                tar.addfile(entry, io.BytesIO(octets))
        sealed.finish()


@pytest.mark.parametrize("place", ["../outside", "/outside", "secrets/../../outside", ""])
def test_a_place_outside_of_the_folder_is_refused(tmp_path: Path, place: str) -> None:
    archive = tmp_path / "a"
    entry = tarfile.TarInfo(f"files/{place}")
    entry.size = 1
    hostile(archive, {"files": {place: "00"}}, [entry])
    with pytest.raises(ArchiveError, match="outside"):
        restore_archive(archive, Key(private=PRIVATE), Target(tmp_path / "in" / "new"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "in"]
    assert not list((tmp_path / "in").iterdir())


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_only_files_are_taken_out(tmp_path: Path, kind: bytes) -> None:
    archive = tmp_path / "a"
    entry = tarfile.TarInfo("files/relay.toml")
    entry.type, entry.linkname = kind, "/etc/passwd"
    hostile(archive, {"files": {"relay.toml": "00"}}, [entry])
    with pytest.raises(ArchiveError, match="of which its manifest does not speak"):
        restore_archive(archive, Key(private=PRIVATE), Target(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "manifest",
    [{"files": ["relay.toml"]}, {"files": {}, "named": [["a"]]}, {"files": {}, "spool": 1}, {"files": {"\0": ""}}],
)
def test_a_manifest_of_another_shape_is_no_fault_of_ours(tmp_path: Path, manifest: dict[str, Any]) -> None:
    hostile(tmp_path / "a", manifest, [])
    with pytest.raises(ArchiveError, match=r"cannot be read|outside"):
        restore_archive(tmp_path / "a", Key(private=PRIVATE), Target(tmp_path / "new"))


def test_no_archive_chooses_where_a_database_goes(
    node: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leak(capsys, "init", "--domain", "old.example", "--folder", tmp_path / "old", "--yes").status == 0
    elsewhere = tmp_path / "elsewhere.db"
    lines = (tmp_path / "old" / "relay.toml").read_text().splitlines(keepends=True)
    text = "".join(f'url = "sqlite:{elsewhere}"\n' if line.startswith('url = "sqlite') else line for line in lines)
    assert str(elsewhere) in text
    with closing(sqlite3.connect(tmp_path / "empty.db")) as database:
        database.execute("CREATE TABLE schema_migration (y)")
    contents = {"files/relay.toml": text.encode(), "spool.db": (tmp_path / "empty.db").read_bytes()}
    hostile(tmp_path / "a", {"files": {"relay.toml": sha256(text.encode()).hexdigest()}}, [], contents)
    with pytest.raises(ArchiveError, match="name it with --spool"):
        restore_archive(tmp_path / "a", Key(private=PRIVATE), Target(tmp_path / "new"))
    assert not elsewhere.exists()
    assert not (tmp_path / "new" / "relay.toml").exists()


def test_the_commands(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = node / "relay.toml"
    assert leak(capsys, "init", "--domain", "old.example", "--folder", node, "--yes").status == 0
    assert leak(capsys, "migrate", "--config", config).status == 0
    assert leak(capsys, "secrets", "new-backup-key", node / "away").status == 0
    assert leak(capsys, "secrets", "new-backup-key", node / "away").status == 1
    bare = leak(capsys, "backup", "--all", node / "x", "--config", config)
    assert (bare.status, "every secret" in bare.err) == (2, True)
    to = ("--recipient-file", node / "away" / "backup.pub", "--config", config)
    wrong = leak(capsys, "backup", node / "x", *to)
    assert (wrong.status, "belong to --all" in wrong.err) == (2, True)

    for old in ("2020-01-01T000000Z", "2020-01-02T000000Z"):
        (node / "kept").mkdir(exist_ok=True)
        (node / "kept" / f"{old}.leakbackup").touch()
    (node / "kept" / "mine.txt").touch()
    made = leak(capsys, "backup", "--all", "--keep", "2", node / "kept", *to)
    assert made.status == 0, made.err
    names = sorted(one.name for one in (node / "kept").iterdir())
    assert len(names) == 3
    assert names[0] == "2020-01-02T000000Z.leakbackup"
    archive = node / "kept" / names[1]
    assert archive.stat().st_mode & 0o777 == 0o600
    assert b"old.example" not in archive.read_bytes()

    key = ("--key", node / "away" / "backup.key")
    there = leak(capsys, "restore", archive, *key, "--folder", node)
    assert (there.status, "without a configuration" in there.err) == (1, True)
    (node / "full" / "secrets").mkdir(parents=True)
    (node / "full" / "secrets" / "link").write_text("mine")
    kept = leak(capsys, "restore", archive, *key, "--folder", node / "full")
    assert (kept.status, "nothing is overwritten" in kept.err) == (1, True)
    assert [one.name for one in (node / "full").rglob("*") if one.is_file()] == ["link"]
    assert leak(capsys, "restore", archive, *key, "--folder", node / "new", "--spool", "sqlite:s.db").status == 0
    assert (node / "new" / "s.db").exists()
    assert {one.stat().st_mode & 0o077 for one in (node / "new").rglob("*")} == {0}
    assert 'url = "sqlite:s.db"' in (node / "new" / "relay.toml").read_text()
    assert (node / "new" / "secrets" / "link").read_bytes() == (node / "secrets" / "link").read_bytes()


def test_whole_values_are_replaced_and_comments_kept() -> None:
    text = '# "../dkim_keys" is here\nkeys = \'../dkim_keys\'   # mine\nx = "../dkim_keys/y"\n'
    changed = replace_values(text, {"../dkim_keys": "dkim_keys"})
    assert changed == '# "dkim_keys" is here\nkeys = "dkim_keys"   # mine\nx = "../dkim_keys/y"\n'


def test_a_password_is_no_argument() -> None:
    url = "postgresql://leak:p%40ss@db1,db2:5433/leak?sslmode=require"
    assert without_password(url) == ("postgresql://leak@db1,db2:5433/leak?sslmode=require", "p@ss")
    assert without_password("postgresql://db/leak") == ("postgresql://db/leak", "")
