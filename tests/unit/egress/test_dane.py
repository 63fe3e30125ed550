from __future__ import annotations

import ssl

import pytest
import trustme

from relay.egress.certificates import client_context, judge_dane
from relay.egress.chain import public_key_of
from relay.egress.opening import TlsMeans
from relay.policy.dane import usable
from relay.policy.outcome import Outcome, Phase, Result, Scope
from relay.policy.tls import Fault, HostDemand, PolicyType, TlsDemand, TlsResult, over_floor
from tests.support.certificates import NOW, Made, ders, make, server_context
from tests.support.egress import Dialing, message
from tests.support.scripted_smtp import Answer, Say, ScriptedSmtp

TOP = make(label="authority", authority=True)
MIDDLE = make(label="middle", authority=True, issuer=TOP)
LEAF = make("mx.example.org", issuer=MIDDLE)
STRANGER = make("mx.example.org")


def demand(*records: str, names: tuple[str, ...] = ("mx.example.org",)) -> HostDemand:
    return HostDemand(TlsDemand.DANE, policy=PolicyType.TLSA, domain=names[0], tlsa=usable(records), names=names)


def kind(chain: list[Made], *records: str, names: tuple[str, ...] = ("mx.example.org",)) -> TlsResult | None:
    fault = judge_dane(ders(chain), demand(*records, names=names), NOW)
    return fault.result if fault else None


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("ended", [False, True])
def test_usage_3_looks_at_nothing_but_the_key(selector: int, matching: int, ended: bool) -> None:  # H07
    lone = make("somebody.else", days=-10 if ended else 10)
    assert kind([lone], lone.tlsa(3, selector, matching)) is None
    assert kind([lone], STRANGER.tlsa(3, selector, matching)) is TlsResult.VALIDATION_FAILURE
    assert kind([lone], STRANGER.tlsa(3), lone.tlsa(3, selector, matching)) is None


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_usage_2_wants_the_chain_the_name_and_the_dates(selector: int, matching: int) -> None:  # H08
    for anchor in (TOP, MIDDLE):
        assert kind([LEAF, MIDDLE, TOP], anchor.tlsa(2, selector, matching)) is None
    record = MIDDLE.tlsa(2, selector, matching)
    expired = make("mx.example.org", issuer=MIDDLE, days=-1)
    assert kind([expired, MIDDLE], record) is TlsResult.EXPIRED
    assert kind([LEAF, MIDDLE], record, names=("mx.example.net",)) is TlsResult.HOST_MISMATCH
    assert kind([LEAF, MIDDLE], record, names=("mx.example.net", "mx.example.org")) is None
    assert kind([STRANGER, MIDDLE], record) is TlsResult.NOT_TRUSTED


def test_an_authority_that_is_not_sent_along_is_unknown() -> None:  # H08
    assert kind([LEAF, MIDDLE], TOP.tlsa(2)) is TlsResult.VALIDATION_FAILURE
    assert kind([LEAF, MIDDLE], TOP.tlsa(2, 0, 0)) is None, "a whole certificate in the record needs no sending"
    assert kind([LEAF], LEAF.tlsa(2)) is TlsResult.VALIDATION_FAILURE
    assert kind([], LEAF.tlsa(3)) is TlsResult.VALIDATION_FAILURE


def test_either_usage_is_enough() -> None:  # H06
    assert kind([LEAF, MIDDLE], STRANGER.tlsa(3), MIDDLE.tlsa(2)) is None
    assert kind([LEAF, MIDDLE], LEAF.tlsa(3), TOP.tlsa(2)) is None


def test_the_key_is_read_as_it_stands() -> None:  # H07
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    pem = authority.issue_cert("a.example", key_type=trustme.KeyType.RSA).cert_chain_pems[0].bytes().decode()
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    certificate = x509.load_pem_x509_certificate(pem.encode())
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_of(ssl.PEM_cert_to_DER_cert(pem)) == spki
    der = LEAF.der
    assert public_key_of(der) == LEAF.spki
    for cut in range(0, len(der), 7):
        assert public_key_of(der[:cut]) == b""
    assert public_key_of(b"\x30\x85\x01\x02\x03\x04\x05") == b""


async def outcome_of(tls: ssl.SSLContext, wanted: HostDemand) -> Outcome:
    """What one message comes to; the far side tells clients that ask for mx.example.org."""
    async with ScriptedSmtp(tls=tls) as far:
        dialing = Dialing(far, demand=wanted, exchanger="mx.example.org")
        session = await dialing.dial()
        if isinstance(session, Outcome):
            assert far.messages == []
            return session
        (outcome,) = await dialing.deliver(session, message())
        session.abort()
        return outcome


async def test_a_match_delivers_and_says_so() -> None:  # H05 H07 E11
    outcome = await outcome_of(server_context(STRANGER), demand(STRANGER.tlsa(3)))
    assert outcome.result is Result.DELIVERED
    tls = outcome.tls
    assert tls is not None
    assert (tls.verified, tls.demand, tls.policy, tls.domain) == (True, "dane", "tlsa", "mx.example.org")
    assert (tls.error, tls.failure) == ("", "")


async def test_a_mismatch_defers_with_its_reason() -> None:  # H05 H12 E06
    outcome = await outcome_of(server_context(LEAF, MIDDLE), demand(STRANGER.tlsa(3)))
    assert (outcome.result, outcome.scope, outcome.phase) == (Result.TEMPORARY, Scope.HOST, Phase.TLS)
    assert outcome.reply.status == "4.7.10"
    assert "no TLSA record names the certificate" in outcome.reply.text
    assert outcome.tls is not None
    assert (outcome.tls.failure, outcome.tls.policy) == ("validation-failure", "tlsa")


@pytest.mark.parametrize("starttls", ["454 4.7.0 not now", Say("220 go", then="close"), Say(None, then="close")])
async def test_dane_never_falls_back_to_clear(starttls: Answer) -> None:  # H05 H12 S05
    async with ScriptedSmtp({"STARTTLS": starttls}, tls=server_context(STRANGER)) as far:
        refusal = await Dialing(far, demand=demand(STRANGER.tlsa(3))).refusal()
        assert (refusal.result, refusal.scope) == (Result.TEMPORARY, Scope.HOST)
        assert len(far.sessions) == 1


async def test_a_stripped_starttls_defers_under_every_policy() -> None:  # S05 H05 I06
    for level in (TlsDemand.DANE, TlsDemand.STS, TlsDemand.ENCRYPT, TlsDemand.VERIFY):
        async with ScriptedSmtp() as far:
            refusal = await Dialing(far, demand=HostDemand(level)).refusal()
            assert (refusal.phase, refusal.reply.status) == (Phase.STARTTLS, "4.7.10")
            assert refusal.tls is not None
            assert (refusal.tls.failure, refusal.tls.protocol) == ("starttls-not-supported", "")
            assert "MAIL" not in far.sessions[0].verbs()


async def test_records_that_cannot_be_used_make_tls_mandatory_and_nobody_verified() -> None:  # H05 H06
    unusable = Fault("no TLSA record of the host can be used", TlsResult.TLSA_INVALID)
    wanted = HostDemand(TlsDemand.ENCRYPT, policy=PolicyType.TLSA, names=("mx.example.org",), known=unusable)
    outcome = await outcome_of(server_context(STRANGER), wanted)
    assert outcome.result is Result.DELIVERED
    assert outcome.tls is not None
    assert (outcome.tls.demand, outcome.tls.failure) == ("encrypt", "tlsa-invalid")
    async with ScriptedSmtp() as plain:
        assert (await Dialing(plain, demand=wanted).refusal()).result is Result.TEMPORARY


async def test_the_operators_verify_stands_over_unusable_records() -> None:  # E06
    wanted = over_floor(HostDemand(TlsDemand.ENCRYPT, policy=PolicyType.TLSA), TlsDemand.VERIFY)
    outcome = await outcome_of(server_context(STRANGER), wanted)
    assert (outcome.result, outcome.phase) == (Result.TEMPORARY, Phase.TLS)


async def test_sni_is_the_tlsa_base_domain() -> None:  # H10
    base = make("base.example.org")
    contexts = {"base.example.org": server_context(base)}
    front = server_context(STRANGER)

    async with ScriptedSmtp(tls=front) as far:
        seen: list[str | None] = []

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            seen.append(name)
            if name in contexts:
                connection.context = contexts[name]

        far.sni = choose
        wanted = demand(base.tlsa(3), names=("base.example.org", "mx.example.org"))
        async with Dialing(far, demand=wanted, exchanger="mx.example.org").session() as session:
            assert session.tls is not None
            assert session.tls.verified
        assert seen == ["base.example.org"]


async def test_testing_delivers_and_remembers_what_was_wrong() -> None:  # I06
    unlisted = Fault("it is not listed", TlsResult.VALIDATION_FAILURE)
    wanted = HostDemand(policy=PolicyType.STS, domain="example.org", testing=True, known=unlisted)
    outcome = await outcome_of(server_context(STRANGER), wanted)
    assert outcome.result is Result.DELIVERED
    assert outcome.tls is not None
    assert (outcome.tls.demand, outcome.tls.testing, outcome.tls.policy) == ("sts", True, "sts")
    assert (outcome.tls.domain, outcome.tls.failure) == ("example.org", "validation-failure")


@pytest.mark.parametrize(
    ("leaf", "failure"),
    [
        (make("mx.example.org", issuer=TOP), ""),
        (make("*.example.org", issuer=TOP), ""),
        (make("mx.example.net", issuer=TOP), "certificate-host-mismatch"),
        (make("mx.example.org", issuer=TOP, days=-1), "certificate-expired"),
        (make("mx.example.org"), "certificate-not-trusted"),
        (make(issuer=TOP), "certificate-host-mismatch"),
    ],
)
async def test_under_mta_sts_the_certificate_must_verify(leaf: Made, failure: str) -> None:  # I05 E09
    from relay.egress.certificates import TrustAnchors
    from relay.egress.dialer import SmtpDialer
    from tests.support.egress import CLOCK, PATIENT

    async with ScriptedSmtp(tls=server_context(leaf)) as far:
        wanted = HostDemand(TlsDemand.STS, policy=PolicyType.STS, domain="example.org")
        dialing = Dialing(far, demand=wanted, exchanger="mx.example.org")
        anchors = TrustAnchors([TOP.certificate])
        dialing.dialer = SmtpDialer(TlsMeans(client_context(), anchors), timeouts=PATIENT, clock=CLOCK)
        if not failure:
            async with dialing.session() as session:
                assert session.tls is not None
                assert session.tls.verified
            return
        refusal = await dialing.refusal()
        assert (refusal.result, refusal.scope, refusal.phase) == (Result.TEMPORARY, Scope.HOST, Phase.TLS)
        assert refusal.tls is not None
        assert (refusal.tls.failure, refusal.tls.policy, refusal.tls.domain) == (failure, "sts", "example.org")


def test_no_anonymous_and_no_export_suites() -> None:  # E08
    for cipher in client_context().get_ciphers():
        assert "NULL" not in cipher["name"]
        assert not cipher["name"].startswith(("ADH", "AECDH", "EXP"))
        assert cipher["strength_bits"] >= 112


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_tls_versions_of_today(version: ssl.TLSVersion) -> None:  # E08 I05
    context = server_context(STRANGER)
    context.minimum_version = context.maximum_version = version
    outcome = await outcome_of(context, demand(STRANGER.tlsa(3)))
    assert outcome.tls is not None
    assert outcome.tls.protocol == version.name.replace("_", ".")
