"""What we sign, read by verifiers that nobody here wrote: OpenDKIM, and Perl's Mail::DKIM over real DNS packets.

The keys of both kinds, every shape of body, folded and repeated fields, and a rotated pair (L01, L03, L05, L07, L11).
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.signing.keys import KeyType, key_path, load_key, make_key, public_record, record_name
from relay.signing.signer import DkimSigner, DomainKeys
from tests.support.command import program
from tests.support.dns_server import DnsServer

PATHS = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
OPENDKIM = shutil.which("opendkim", path=PATHS)
PERL = shutil.which("perl", path=PATHS)
IN_CI = bool(os.environ.get("CI"))

HEADER = (
    b"From: Ann <a@leak.example>\r\nTo: b@x.example,\r\n\tc@y.example\r\nSubject: =?utf-8?q?=C3=A9?=\r\n  folded\r\n"
    b"Date: Sun, 22 Nov 2026 03:00:00 +0000\r\nMessage-ID: <a@leak.example>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain;   charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    b"List-Unsubscribe: <https://leak.example/u/x>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"Feedback-ID: a:b:c:leak\r\nReceived: from a\r\nReceived: from b\r\n"
)
BODIES = {
    "plain": b"Hello.\r\n",
    "empty": b"",
    "only empty lines": b"\r\n\r\n\r\n",
    "spaces": b"a  b \t c \r\n \r\nend\t\r\n\r\n\r\n",
    "long": (b"x" * 990 + b"\r\n") * 2000,
    "dots": b".\r\n..\r\n.x\r\n",
}

SECOND = ("ed25519-sha256 e pass", "ed25519-sha256 e invalid (unsupported algorithm ed25519-sha256)")
"""A reader that does not know the second kind goes by the first (RFC 8463 §5): versions before 1.20230630."""

_VERIFY = """
use Mail::DKIM::Verifier; use Mail::DKIM::DNS; use Net::DNS;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => ['127.0.0.1'], port => $ARGV[0], recurse => 0));
my $dkim = Mail::DKIM::Verifier->new(); binmode STDIN;
while (read(STDIN, my $piece, 65536)) { $dkim->PRINT($piece); }
$dkim->CLOSE;
for ($dkim->signatures) { print $_->algorithm, " ", $_->selector, " ", $_->result_detail, "\\n"; }
"""


async def has_mail_dkim() -> bool:
    return PERL is not None and (await program(PERL, "-MMail::DKIM::Verifier", "-e", "print 'there'")).out == "there"


class Signed:
    """Messages under an RSA and an Ed25519 key, and the records of the keys."""

    def __init__(self, folder: Path) -> None:
        self.records: dict[str, str] = {}
        for selector, kind in (("r", KeyType.RSA), ("e", KeyType.ED25519)):
            make_key(folder, "leak.example", selector, kind)
            key = load_key(key_path(folder, "leak.example", selector))
            self.records[record_name("leak.example", selector)] = public_record(key)
        self._signer = DkimSigner(folder, [DomainKeys("leak.example", ("e", "r"))], 0)

    async def message(self, body: bytes) -> bytes:
        signed = await self._signer.sign("leak.example", HEADER, body, datetime.now(UTC))
        return signed + HEADER + b"\r\n" + body


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed(tmp_path / "keys")


@pytest.mark.skipif(OPENDKIM is None and not IN_CI, reason="opendkim is not installed")
async def test_opendkim(signed: Signed, tmp_path: Path) -> None:
    assert OPENDKIM is not None
    keys, configuration, file = tmp_path / "keys.txt", tmp_path / "opendkim.conf", tmp_path / "message"
    keys.write_text("".join(f"{name} {record}\n" for name, record in signed.records.items()))
    configuration.write_text(f"Mode v\nTestPublicKeys {keys}\nSyslog no\n")
    for body in BODIES.values():
        file.write_bytes(await signed.message(body))
        ran = await program(OPENDKIM, "-x", str(configuration), "-t", str(file), "-vv")
        assert "dkim=pass (2048-bit key) header.d=leak.example header.i=@leak.example header.a=rsa-sha256" in ran.out
        assert "dkim=pass header.d=leak.example header.i=@leak.example header.a=ed25519-sha256" in ran.out
    file.write_bytes(b"Subject: another\r\n" + await signed.message(BODIES["plain"]))
    ran = await program(OPENDKIM, "-x", str(configuration), "-t", str(file), "-vv")
    assert "dkim=pass" not in ran.out


async def test_mail_dkim_of_perl(signed: Signed) -> None:
    if not await has_mail_dkim() and not IN_CI:
        pytest.skip("Perl's Mail::DKIM is not installed")
    assert PERL is not None
    async with DnsServer({name: {"TXT": [record]} for name, record in signed.records.items()}) as server:
        for name, body in BODIES.items():
            ran = await program(PERL, "-e", _VERIFY, str(server.port), given=await signed.message(body))
            first, second = ran.out.splitlines()
            assert (first, second in SECOND) == ("rsa-sha256 r pass", True), (name, ran)
        spoilt = b"From: eve@leak.example\r\n" + await signed.message(BODIES["plain"])
        ran = await program(PERL, "-e", _VERIFY, str(server.port), given=spoilt)
        assert "pass" not in ran.out
