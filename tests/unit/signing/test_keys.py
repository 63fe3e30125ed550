"""Key files: made whole, private and once; loaded only when fit to sign."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from relay.signing.keys import (
    KeyFileError,
    KeyType,
    key_bits,
    key_path,
    key_type,
    list_keys,
    load_key,
    make_key,
    public_record,
    record_name,
    zone_text,
)


def _store(path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_a_new_key_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:  # L10
    old = os.umask(umask)
    try:
        (tmp_path / "leak.example").mkdir(mode=0o700)
        (tmp_path / "leak.example").chmod(0o700)
        path = make_key(tmp_path, "leak.example", "e2026a", KeyType.ED25519)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path == tmp_path / "leak.example" / "e2026a.pem"
    assert [item.name for item in path.parent.iterdir()] == ["e2026a.pem"]


def test_the_folder_of_a_new_domain_is_private(tmp_path: Path) -> None:
    path = make_key(tmp_path / "keys", "leak.example", "e2026a", KeyType.ED25519)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = make_key(tmp_path, "leak.example", "e2026a", KeyType.ED25519)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="never overwritten"):
        make_key(tmp_path, "leak.example", "e2026a", KeyType.ED25519)
    assert path.read_bytes() == before


def test_a_new_rsa_key_has_2048_bits(tmp_path: Path) -> None:  # L02
    key = load_key(make_key(tmp_path, "leak.example", "s2026a", KeyType.RSA))
    assert (key_type(key), key_bits(key)) == (KeyType.RSA, 2048)


@pytest.mark.parametrize(
    ("domain", "selector"),
    [("..", "a"), ("leak.example/../x", "a"), ("leak.example", "../a"), ("leak.example", "A b"), ("leak.example", "")],
)
def test_names_that_leave_the_folder_or_the_dns(tmp_path: Path, domain: str, selector: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        key_path(tmp_path, domain, selector)


def test_an_international_domain_lies_under_its_a_label(tmp_path: Path) -> None:
    assert key_path(tmp_path, "Caf\u00e9.example", "a") == tmp_path / "xn--caf-dma.example" / "a.pem"


@pytest.mark.parametrize("bits", [1024, 3072])
def test_rsa_sizes_that_load(tmp_path: Path, bits: int) -> None:  # L02
    key = load_key(_store(tmp_path / "d.example" / "a.pem", rsa.generate_private_key(65537, bits)))
    assert key_bits(key) == bits


# A throw-away key, as `cryptography` makes none this small.
_RSA_512 = """\
-----BEGIN PRIVATE KEY-----
MIIBVAIBADANBgkqhkiG9w0BAQEFAASCAT4wggE6AgEAAkEAz8U6K4cRE/WtK2pn
iau5du8XY75JPUsr1QTLvpCIm14h7+aZDhLxZjhZ3o9u4i9SJ3pSe3nw1ZLZzaIh
V9+auwIDAQABAkA6KxF6FjplyCZPPV73YChwb8ewmRmQG3eOD+Wq2HQmatacMxf1
WzQEJQWiKCfxZ2aTrlY+MEIYBzlyFj5q9KiBAiEA+66QAeV2v7wDEKgdvNqOLqLQ
UD2VygripLZuJoPZU+sCIQDTVcv022/OVRVky1HpCV5j74b9NieQ4eMHlleiocCw
cQIhAIsaeiFyL+XdBlyobnc43KjN+BDBWQ6oYYfkBJFpAi8tAiB1chfPsud2rlge
VNPngxpexW2qaJ8iaDZoMAfxzJyuMQIgb5kWuUM94n/ir110I3sYynp8kzZgJ/B1
fklPvK7mOPo=
-----END PRIVATE KEY-----
"""


@pytest.mark.filterwarnings("ignore:.*key size.*")
def test_a_weak_rsa_key_is_refused(tmp_path: Path) -> None:  # L02
    path = tmp_path / "a.pem"
    path.write_text(_RSA_512)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=r"512 bits|no unencrypted"):
        load_key(path)


def test_a_damaged_rsa_key_is_refused(tmp_path: Path) -> None:
    path = make_key(tmp_path, "leak.example", "s2026a", KeyType.RSA)
    lines = path.read_text().splitlines()
    lines[4] = lines[4][:20] + "AAAABBBB" + lines[4][28:]  # within the modulus
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(KeyFileError, match="is damaged"):
        load_key(path)


def test_what_is_no_usable_key(tmp_path: Path) -> None:
    path = tmp_path / "leak.example" / "a.pem"
    with pytest.raises(KeyFileError, match=r"leak dkim new leak\.example a"):
        load_key(path)
    path.parent.mkdir()
    path.write_text("nonsense")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="no unencrypted PKCS#8 key"):
        load_key(path)
    _store(path, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(KeyFileError, match="neither an RSA nor an Ed25519"):
        load_key(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:  # L10
    path = make_key(tmp_path, "leak.example", "e2026a", KeyType.ED25519)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"has mode {mode:04o}; run `chmod 600"):
        load_key(path)


def test_records(tmp_path: Path) -> None:  # L09, L11
    small = load_key(make_key(tmp_path, "leak.example", "e2026a", KeyType.ED25519))
    assert isinstance(small, ed25519.Ed25519PrivateKey)
    raw = small.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert public_record(small) == f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"
    large = load_key(make_key(tmp_path, "leak.example", "s2026a", KeyType.RSA))
    record = public_record(large)
    assert record.startswith("v=DKIM1; k=rsa; p=")
    assert isinstance(large, rsa.RSAPrivateKey)
    published = load_der_public_key(base64.b64decode(record.partition("p=")[2]))
    assert published == large.public_key()
    assert record_name("leak.example", "s2026a") == "s2026a._domainkey.leak.example"


def test_zone_text_splits_at_255() -> None:
    assert zone_text("v=spf1 -all") == '"v=spf1 -all"'
    assert zone_text('a"b\\c') == '"a\\"b\\\\c"'
    value = "x" * 600
    text = zone_text(value)
    assert text.startswith('( "')
    assert "".join(text.strip("( )").split('" "')).strip('"') == value
    assert max(len(part) for part in text.strip("( )").split(" ")) == 257


def test_list_keys_shows_what_is_wrong(tmp_path: Path) -> None:
    make_key(tmp_path, "b.example", "s1", KeyType.ED25519)
    bad = make_key(tmp_path, "a.example", "s2", KeyType.ED25519)
    bad.chmod(0o644)
    (tmp_path / "README.md").write_text("keys")
    first, second = list_keys(tmp_path)
    assert (first.domain, first.selector, first.type, first.record) == ("a.example", "s2", None, "")
    assert "chmod 600" in first.problem
    assert (second.domain, second.type, second.bits, second.problem) == ("b.example", KeyType.ED25519, 256, "")
    assert list_keys(tmp_path / "nowhere") == []
