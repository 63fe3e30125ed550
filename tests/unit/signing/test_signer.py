"""The signer, judged by dkimpy: every body shape, RSA and Ed25519, and what must break a signature."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.mail.check import check_content
from relay.signing.canonical import relaxed_field, split_header
from relay.signing.contract import KeyUnavailableError, Signer
from relay.signing.keys import KeyType, load_key, make_key, public_record
from relay.signing.signature import body_hash
from relay.signing.signer import DkimSigner, DomainKeys

_NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
_HEADER = (
    b"From: =?utf-8?q?L=C3=A9a?= <hello@leak.example>\r\n"
    b"To: ann@example.org,\r\n\t bob@example.org\r\n"
    b"Subject: A letter\r\n   for you \r\n"
    b"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\n"
    b"Message-ID: <abc@leak.example>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"List-Unsubscribe: <https://leak.example/u/x>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"Feedback-ID: letters:leak\r\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys")
    make_key(path, "leak.example", "s2026a", KeyType.RSA)
    make_key(path, "leak.example", "e2026a", KeyType.ED25519)
    return path


@pytest.fixture(scope="module")
def signer(folder: Path) -> Iterator[DkimSigner]:
    # Ed25519 is named first: RSA stands topmost all the same.
    made = DkimSigner(folder, [DomainKeys("leak.example", ("e2026a", "s2026a"))], threads=2)
    yield made
    made.close()


def _dns(folder: Path) -> dict[bytes, bytes]:
    return {
        f"{path.stem}._domainkey.{path.parent.name}.".encode(): public_record(load_key(path)).encode()
        for path in folder.glob("*/*.pem")
    }


def _verdicts(message: bytes, folder: Path) -> list[bool]:
    """Whether each signature, from the top, verifies."""
    records = _dns(folder)
    verifier = dkim.DKIM(message)
    count = len(re.findall(rb"(?mi)^dkim-signature:", message.partition(b"\r\n\r\n")[0]))
    return [_verifies(verifier, n, records) for n in range(count)]


def _verifies(verifier: dkim.DKIM, number: int, records: dict[bytes, bytes]) -> bool:
    try:
        return bool(verifier.verify(idx=number, dnsfunc=lambda name, timeout=5: records.get(name)))
    except dkim.ValidationError:
        return False


def _tags(field: bytes) -> dict[str, str]:
    value = re.sub(rb"\s", b"", field.partition(b":")[2]).decode()
    return dict(part.partition("=")[::2] for part in value.split(";"))


def _fields(signatures: bytes) -> list[bytes]:
    return [b"DKIM-Signature:" + part for part in signatures.split(b"DKIM-Signature:")[1:]]


_BODIES = {
    "empty": b"",
    "one line end": b"\r\n",
    "many line ends": b"\r\n" * 40,
    "plain": b"Hello,\r\n\r\nyou left the tap open.\r\n",
    "no last line end": b"Hello",
    "blank lines at the end": b"Hello\r\n\r\n\r\n",
    "spaces": b"Hello   there \t \r\n\tindented\r\n \r\n",
    "only spaces": b"   \r\n\t\r\n",
    "8-bit": "D\u00e9j\u00e0 vu\r\n".encode(),
    "octets": bytes(range(1, 9)) + bytes(range(14, 256)) + b"\r\n",
    "dots": b".\r\n..\r\n.x\r\n",
    "long": b"0123456789 abcdef\r\n" * 60_000,
    "long line": b"x" * 100_000 + b"\r\n",
}


async def test_a_domain_beyond_ascii_signs_by_its_a_label(tmp_path: Path) -> None:  # D21
    name = "xn--bcher-kva.example"
    make_key(tmp_path, name, "s1", KeyType.ED25519)
    header = "From: Ann <ann@bücher.example>\r\nSubject: Grüße\r\n".encode()
    checked = check_content(header + b"\r\nbody\r\n", smtputf8=True)
    signer = DkimSigner(tmp_path, [DomainKeys(name, ("s1",))], threads=1)
    signed_as = signer.domain_for(checked.author.domain)
    assert signed_as == name
    signatures = await signer.sign(signed_as, header, b"body\r\n", _NOW)
    signer.close()
    assert _tags(_fields(signatures)[0])["d"] == name
    assert signatures.isascii()
    assert _verdicts(signatures + header + b"\r\nbody\r\n", tmp_path) == [True]


@pytest.mark.parametrize("body", _BODIES.values(), ids=_BODIES.keys())
async def test_every_body_verifies(signer: Signer, folder: Path, body: bytes) -> None:  # L01, L03, L07, L11
    signatures = await signer.sign("leak.example", _HEADER, body, _NOW)
    assert _verdicts(signatures + _HEADER + b"\r\n" + body, folder) == [True, True]


@given(
    lines=st.lists(st.text(alphabet=" \tab.\u00e9", max_size=20), max_size=10),
    subject=st.lists(st.text(alphabet=" \tab:;=\u00e9", min_size=1, max_size=20), min_size=1, max_size=4),
    copies=st.integers(0, 2),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_message_verifies(
    folder: Path, lines: list[str], subject: list[str], copies: int
) -> None:  # L03, L04, L05, L07
    header = b"From: a@leak.example\r\nSubject:x" + "\r\n x".join(subject).encode() + b"\r\n"
    header += b"Cc: c@example.org\r\n" * copies
    body = b"".join(line.encode() + b"\r\n" for line in lines)
    inline = DkimSigner(folder, [DomainKeys("leak.example", ("s2026a", "e2026a"))], threads=0)
    signatures = await inline.sign("leak.example", header, body, _NOW)
    assert _verdicts(signatures + header + b"\r\n" + body, folder) == [True, True]


async def test_the_tags(signer: Signer) -> None:  # L01, L04, L05, L06, L08
    first, second = _fields(await signer.sign("leak.example", _HEADER, b"Hello\r\n", _NOW))
    top, below = _tags(first), _tags(second)
    assert (top["a"], top["s"]) == ("rsa-sha256", "s2026a")
    assert (below["a"], below["s"]) == ("ed25519-sha256", "e2026a")
    for tags in (top, below):
        assert set(tags) == {"v", "a", "c", "d", "s", "t", "h", "bh", "b"}
        assert (tags["v"], tags["c"], tags["d"]) == ("1", "relaxed/relaxed", "leak.example")
        assert tags["t"] == str(int(_NOW.timestamp()))
    names = top["h"].split(":")
    twice = ("From", "To", "Subject", "Date", "Message-ID", "Content-Type", "MIME-Version", "List-Unsubscribe")
    for name in (*twice, "List-Unsubscribe-Post", "Feedback-ID"):
        assert names.count(name) == 2, name
    assert names.count("Cc") == names.count("Reply-To") == 1
    assert "Sender" not in names
    assert "Received" not in names
    assert top["bh"] == below["bh"]


async def test_lines_are_folded(signer: Signer) -> None:
    signatures = await signer.sign("leak.example", _HEADER, b"Hello\r\n", _NOW)
    assert signatures.endswith(b"\r\n")
    for line in signatures.removesuffix(b"\r\n").split(b"\r\n"):
        assert len(line.expandtabs(8)) <= 78
        assert line.startswith((b"DKIM-Signature:", b"\t"))


@pytest.mark.parametrize(
    "added",
    [
        b"From: mallory@evil.example\r\n",
        b"Subject: other\r\n",
        b"To: x@y.example\r\n",
        b"Cc: x@y.example\r\n",
        b"Reply-To: x@y.example\r\n",
        b"Date: x\r\n",
        b"Content-Type: text/html\r\n",
        b"Message-ID: <x@y>\r\n",
        b"List-Unsubscribe: <https://evil.example>\r\n",
    ],
)
@pytest.mark.parametrize("top", [True, False])
async def test_an_added_field_breaks_both_signatures(
    signer: Signer, folder: Path, added: bytes, top: bool
) -> None:  # L05, S21
    signatures = await signer.sign("leak.example", _HEADER, b"Hello\r\n", _NOW)
    header = added + signatures + _HEADER if top else signatures + _HEADER + added
    assert _verdicts(header + b"\r\nHello\r\n", folder) == [False, False]


async def test_an_appended_body_breaks_both_signatures(signer: Signer, folder: Path) -> None:  # L06, S21
    signatures = await signer.sign("leak.example", _HEADER, b"Hello\r\n", _NOW)
    assert _verdicts(signatures + _HEADER + b"\r\nHello\r\nbuy this\r\n", folder) == [False, False]


async def test_a_received_field_above_breaks_nothing(signer: Signer, folder: Path) -> None:
    signatures = await signer.sign("leak.example", _HEADER, b"Hello\r\n", _NOW)
    assert _verdicts(b"Received: from x by y\r\n" + signatures + _HEADER + b"\r\nHello\r\n", folder) == [True, True]


def test_domain_for(folder: Path) -> None:  # L08
    domains = [DomainKeys("leak.example", ("s2026a",)), DomainKeys("news.leak.example", ("n1",))]
    signer = DkimSigner(folder, domains, threads=0)
    assert signer.domain_for("leak.example") == "leak.example"
    assert signer.domain_for("Leak.Example") == "leak.example"
    assert signer.domain_for("a.b.leak.example") == "leak.example"
    assert signer.domain_for("x.news.leak.example") == "news.leak.example"
    assert signer.domain_for("notleak.example") is None
    assert signer.domain_for("example") is None
    assert signer.domain_for("") is None


async def test_a_missing_key_stops_its_domain_only(tmp_path: Path) -> None:  # L09, L10
    make_key(tmp_path, "a.example", "s1", KeyType.ED25519)
    path = make_key(tmp_path, "b.example", "s1", KeyType.ED25519)
    path.chmod(0o644)
    domains = [DomainKeys("a.example", ("s1",)), DomainKeys("b.example", ("s1",)), DomainKeys("c.example", ("s1",))]
    signer = DkimSigner(tmp_path, domains, threads=0)
    assert set(signer.unavailable) == {"b.example", "c.example"}
    assert await signer.sign("a.example", _HEADER, b"", _NOW)
    with pytest.raises(KeyUnavailableError, match="chmod 600"):
        await signer.sign("b.example", _HEADER, b"", _NOW)
    with pytest.raises(KeyUnavailableError, match=r"leak dkim new c\.example s1"):
        await signer.sign("c.example", _HEADER, b"", _NOW)
    with pytest.raises(KeyUnavailableError, match="no such signing domain"):
        await signer.sign("d.example", _HEADER, b"", _NOW)
    path.chmod(0o600)
    assert set(signer.reload()) == {"c.example"}
    assert await signer.sign("b.example", _HEADER, b"", _NOW)


async def test_one_unusable_key_of_two_stops_the_domain(tmp_path: Path) -> None:
    make_key(tmp_path, "a.example", "e1", KeyType.ED25519)
    signer = DkimSigner(tmp_path, [DomainKeys("a.example", ("e1", "s1"))], threads=0)
    with pytest.raises(KeyUnavailableError, match=r"s1\.pem is missing"):
        await signer.sign("a.example", _HEADER, b"", _NOW)


async def test_a_short_rsa_key_signs_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:  # L02
    path = tmp_path / "a.example" / "s1.pem"
    path.parent.mkdir()
    key = rsa.generate_private_key(65537, 1024)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    signer = DkimSigner(tmp_path, [DomainKeys("a.example", ("s1",))], threads=0)
    assert "key-weak" in caplog.text
    signatures = await signer.sign("a.example", _HEADER, b"Hello\r\n", _NOW)
    assert _verdicts(signatures + _HEADER + b"\r\nHello\r\n", tmp_path) == [True]


async def test_a_header_that_is_none_is_refused(signer: Signer) -> None:
    with pytest.raises(ValueError, match="no field"):
        await signer.sign("leak.example", b"no header\r\n", b"", _NOW)


_RFC_8463_SEED = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")


def test_the_sample_record_of_rfc_8463() -> None:  # L11
    key = Ed25519PrivateKey.from_private_bytes(_RFC_8463_SEED)
    assert public_record(key) == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


_RFC_8463_HEADER = (
    b"From: Joe SixPack <joe@football.example.com>\r\n"
    b"To: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\n"
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
)
_RFC_8463_BODY = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"


def test_the_sample_signature_of_rfc_8463() -> None:  # L11
    """The appendix's Ed25519 signature, made again octet by octet from its own h= list by our canonicalisation."""
    key = Ed25519PrivateKey.from_private_bytes(_RFC_8463_SEED)
    assert body_hash(_RFC_8463_BODY) == "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
    field = (
        b" v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
        b" d=football.example.com; i=@football.example.com;\r\n"
        b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
        b" subject : date : message-id : from : subject : date;\r\n"
        b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
        b" b="
    )
    values = {name.lower(): value for name, value in split_header(_RFC_8463_HEADER)}
    signed = [relaxed_field(name, values[name]) for name in (b"from", b"to", b"subject", b"date", b"message-id")]
    data = b"\r\n".join([*signed, relaxed_field(b"dkim-signature", field)])
    expected = "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    assert base64.b64encode(key.sign(sha256(data).digest())).decode() == expected
