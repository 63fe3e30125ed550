"""What the lab's receivers conclude: SPF, DKIM with both kinds of keys, DMARC."""

from __future__ import annotations

import base64

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from relay.authentication import dmarc, signatures
from relay.authentication.spf import Evidence
from relay.lab.hosts import DOMAINS, HOSTS, lay_out
from relay.lab.verdict import Verdict, judge
from relay.lab.zone import Fault, Trouble, Zone, ZoneResolver
from relay.resolver.contract import DnsAnswer

# RFC 8463 Appendix A: one message, signed with Ed25519 and with RSA.
RFC8463 = b"""DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
RFC8463_KEYS = {
    "brisbane": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test": (
        "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi"
        "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G"
        "+2kryOTIKT+l/K4w3QIDAQAB"
    ),
}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
DER = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
RECORD = f"v=DKIM1; k=rsa; p={base64.b64encode(DER).decode()}"
LETTER = b"From: Leak <letters@leak.lab.test>\r\nTo: ok@inbox.lab.test\r\nSubject: hi\r\n\r\nHello  there \r\n\r\n"


@pytest.fixture
def zone() -> Zone:
    filled = Zone()
    lay_out(filled, 1, HOSTS, DOMAINS)
    filled.publish("s1._domainkey.leak.lab.test", "TXT", RECORD)
    return filled


def signed(content: bytes = LETTER, *, domain: bytes = b"leak.lab.test", body: bytes = b"relaxed") -> bytes:
    field: bytes = dkim.sign(content, b"s1", domain, PEM, canonicalize=(b"relaxed", body))
    return field + content


async def verdict(
    zone: Zone, content: bytes, *, path: str = "letters@leak.lab.test", client: str = "127.0.0.1"
) -> Verdict:
    return await judge(ZoneResolver(zone), Evidence("mx.inbox.lab.test", client, "mail.leak.lab.test", path, content))


async def test_both_signatures_of_rfc_8463_verify(zone: Zone) -> None:  # L01, L11
    for selector, record in RFC8463_KEYS.items():
        zone.publish(f"{selector}._domainkey.football.example.com", "TXT", record)
    found = (await verdict(zone, RFC8463)).dkim
    assert [(s.result, s.algorithm) for s in found] == [("pass", "ed25519-sha256"), ("pass", "rsa-sha256")]
    changed = (await verdict(zone, RFC8463.replace(b"Is dinner", b"Was dinner"))).dkim
    assert [s.result for s in changed] == ["fail", "fail"]
    changed = (await verdict(zone, RFC8463.replace(b"lost", b"won"))).dkim
    assert [s.why for s in changed] == ["the body was changed"] * 2


@pytest.mark.parametrize("body", [b"relaxed", b"simple"])
@pytest.mark.parametrize(
    "text", [b"", b"\r\n\r\n", b"a\t \tb \r\n\r\n\r\n", b"x" * 3000 + b"\r\n", b" \r\n", b"no end"]
)
async def test_every_shape_of_body_verifies(zone: Zone, body: bytes, text: bytes) -> None:  # L07
    content = signed(LETTER.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + text, body=body)
    assert [s.result for s in (await verdict(zone, content)).dkim] == ["pass"]


async def test_what_a_signature_leaves_out_of_the_body_is_not_vouched_for(zone: Zone) -> None:  # RFC 6376 §8.2
    field: bytes = dkim.sign(LETTER, b"s1", b"leak.lab.test", PEM, canonicalize=(b"relaxed", b"relaxed"), length=True)
    whole = await verdict(zone, field + LETTER, client="127.9.9.9", path="eve@elsewhere.test")
    assert [s.result for s in whole.dkim] == ["pass"], "l= of all there is"
    longer = field + LETTER.rstrip() + b"\r\nWords of somebody else.\r\n"
    judged = await verdict(zone, longer, client="127.9.9.9", path="eve@elsewhere.test")
    assert [s.result for s in judged.dkim] == ["neutral"]
    assert "are signed" in judged.dkim[0].why
    assert judged.dmarc.result != "pass"


async def test_a_good_letter_passes_everything(zone: Zone) -> None:  # M04
    judged = await verdict(zone, signed())
    assert (judged.spf.result, judged.dmarc.result) == ("pass", "pass")
    assert judged.dmarc.aligned == ("dkim leak.lab.test", "spf leak.lab.test")
    assert judged.authentication_results.startswith("Authentication-Results: mx.inbox.lab.test; spf=pass")
    assert "dkim=pass header.d=leak.lab.test header.s=s1" in judged.authentication_results
    assert "dmarc=pass header.from=leak.lab.test" in judged.authentication_results


async def test_a_forged_letter_fails(zone: Zone) -> None:
    judged = await verdict(zone, LETTER, client="192.0.2.1")
    assert judged.spf.result == "fail"
    assert (judged.dmarc.result, judged.dmarc.disposition) == ("fail", "reject")
    judged = await verdict(zone, LETTER, path="x@nowhere.lab.test")
    assert (judged.spf.result, judged.dmarc.result) == ("none", "fail")


async def test_the_null_path_is_judged_by_the_helo_name(zone: Zone) -> None:  # M02
    judged = await verdict(zone, LETTER, path="")
    assert (judged.spf.result, judged.spf.domain) == ("pass", "mail.leak.lab.test")
    assert judged.dmarc.aligned == ("spf mail.leak.lab.test",)


@pytest.mark.parametrize(
    ("record", "fault", "result", "why"),
    [
        ("", None, "permerror", "no key is published"),
        ("v=DKIM1; p=", None, "permerror", "revoked"),
        ("v=DKIM1; k=ed25519; p=AAAA", None, "permerror", "different kinds"),
        ("v=DKIM1; p=AAAA", None, "permerror", "no usable key"),
        ("nonsense", None, "permerror", ""),
        (RECORD, Trouble.SERVFAIL, "temperror", "the DNS gave no answer"),
        (RECORD, Trouble.TIMEOUT, "temperror", "the DNS gave no answer"),
    ],
)
async def test_trouble_with_the_key(
    zone: Zone, record: str, fault: Trouble | None, result: str, why: str
) -> None:  # L09
    name = "s1._domainkey.leak.lab.test"
    zone.withdraw(name)
    if record:
        zone.publish(name, "TXT", record)
    if fault:
        zone.break_name(name, Fault(fault))
    found = (await verdict(zone, signed())).dkim[0]
    assert found.result == result
    assert why in found.why


async def test_dns_trouble_is_a_temporary_verdict(zone: Zone) -> None:
    zone.break_name("_dmarc.leak.lab.test", Fault(Trouble.SERVFAIL))
    zone.break_name("leak.lab.test", Fault(Trouble.TIMEOUT), "TXT")
    judged = await verdict(zone, LETTER)
    assert (judged.spf.result, judged.dmarc.result) == ("temperror", "temperror")


@pytest.mark.parametrize(
    "field",
    [
        b"DKIM-Signature: v=1\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha1; d=leak.lab.test; s=s1; h=from; b=aa; bh=aa\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; d=a b; s=s1; h=from; b=aaaa; bh=aaaa\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; d=leak.lab.test; s=s1; h=from; b=aaaa; bh=aaaa; l=9999999999999\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; d=leak.lab.test; s=s1; h=from;\r\n" + b" \r\n" * 3000 + b" b=a\r\n",
        b"DKIM-Signature: " + b"x" * 9000 + b"\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; d=\xff\xfe; s=\x00; h=from; b=aaaa; bh=aaaa\r\n",
    ],
)
async def test_hostile_signatures_are_errors_not_exceptions(zone: Zone, field: bytes) -> None:  # S13
    found = (await verdict(zone, field * 20 + LETTER)).dkim
    assert len(found) == signatures.MAX_SIGNATURES
    assert {s.result for s in found} <= {"permerror", "fail"}
    assert "\r" not in (await verdict(zone, field + LETTER)).authentication_results


async def test_quadratic_white_space_is_gone_before_the_verifier_sees_it(zone: Zone) -> None:
    content = signed(LETTER + b"word\r\n")
    spaces = content[: -len(b"word\r\n")] + (b" " * 990 + b"x\r\n") * 2000
    assert [s.result for s in (await verdict(zone, spaces)).dkim] == ["fail"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"no header at all",
        b"From\r\n\r\n",
        b"\xff" * 5000,
        b"From: \r\n" * 900,
        b"From: " + b"(" * 9000 + b"\r\n\r\n",
    ],
)
async def test_any_content_gets_a_verdict(zone: Zone, content: bytes) -> None:
    assert (await verdict(zone, content)).dmarc.result == "permerror"


async def test_two_authors_of_two_domains_are_an_error(zone: Zone) -> None:  # M07
    two = LETTER.replace(b"From: ", b"From: a@other.lab.test, ")
    assert (await verdict(zone, two)).dmarc.result == "permerror"


class Records:
    """A resolver over plain TXT values that counts its questions."""

    def __init__(self, **records: str) -> None:
        self._zone = Zone()
        self.asked = 0
        for name, text in records.items():
            self._zone.publish("_dmarc." + name.replace("_", "."), "TXT", text)

    async def ask(self, name: str, kind: str) -> DnsAnswer:
        self.asked += 1
        return await ZoneResolver(self._zone).ask(name, kind)


@pytest.mark.parametrize(
    ("records", "author", "signer", "result", "policy"),
    [
        ({"a_test": "v=DMARC1; p=reject"}, "a.test", "mail.a.test", "pass", "reject"),
        ({"a_test": "v=DMARC1; p=reject; adkim=s"}, "a.test", "mail.a.test", "fail", "reject"),
        ({"a_test": "v=DMARC1; p=reject; sp=quarantine"}, "x.a.test", "b.test", "fail", "quarantine"),
        ({"a_test": "v=DMARC1; p=none; np=reject"}, "x.a.test", "b.test", "fail", "reject"),
        ({"test": "v=DMARC1; p=none; psd=y", "a_test": "v=DMARC1; p=reject"}, "a.test", "b.test", "fail", "reject"),
        ({"test": "v=DMARC1; p=none; psd=y"}, "a.test", "x.a.test", "pass", "none"),
        ({"x_a_test": "v=DMARC1; psd=n", "a_test": "v=DMARC1; p=reject"}, "x.a.test", "a.test", "fail", "none"),
        ({"a_test": "v=DMARC1; p=nonsense; pct=0; fo=x"}, "a.test", "a.test", "pass", "none"),
        ({"a_test": "v=spf1 -all"}, "a.test", "a.test", "none", ""),
    ],
)
async def test_dmarc_by_tree_walk(  # M04, M05, M06
    records: dict[str, str], author: str, signer: str, result: str, policy: str
) -> None:
    judged = await dmarc.evaluate(Records(**records), [author], None, [signer])
    assert (judged.result, judged.policy) == (result, policy)


async def test_test_mode_softens_and_the_walk_is_bounded() -> None:  # M05
    judged = await dmarc.evaluate(Records(a_test="v=DMARC1; p=reject; t=y"), ["a.test"], None, [])
    assert judged.disposition == "quarantine"
    resolver = Records()
    await dmarc.evaluate(resolver, [".".join("abcdefghijkl") + ".test"], None, [])
    assert resolver.asked == dmarc.MAX_QUERIES
