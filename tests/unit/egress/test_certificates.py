from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from relay.egress.certificates import TrustAnchors, client_context
from relay.egress.chain import chain_of
from relay.egress.sources import families_of
from relay.errors import ConfigurationError
from relay.policy.way import Source
from tests.support.egress import anchors_of

NOW = datetime.now(UTC)


def judged(server: ssl.SSLContext, anchors: TrustAnchors, name: str, now: datetime = NOW) -> str:
    """What is said of `server`'s certificate after a real handshake."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as wrapped:
            wrapped.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with client_context().wrap_socket(ours) as client:
        fault = anchors.judge(chain_of(client), name, now)  # type: ignore[arg-type]
        client.send(b".")
    thread.join()
    return fault.words if fault else ""


def context(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(server)
    return server


def test_a_good_certificate_verifies_for_its_names() -> None:  # E09
    authority = trustme.CA()
    server = context(authority, "mx.example.org", "*.wild.example", "192.0.2.1")
    anchors = anchors_of(authority)
    assert judged(server, anchors, "mx.example.org") == ""
    assert judged(server, anchors, "mx.wild.example") == ""
    assert judged(server, anchors, "192.0.2.1") == ""
    assert judged(server, anchors, "other.example.org")
    assert judged(server, anchors, "bad_name..example")


def test_an_intermediate_may_stand_between() -> None:
    authority = trustme.CA()
    assert judged(context(authority.create_child_ca(), "mx.example.org"), anchors_of(authority), "mx.example.org") == ""


def test_strangers_and_the_expired_do_not_verify() -> None:  # E09
    authority = trustme.CA()
    server = context(authority, "mx.example.org", not_after=NOW + timedelta(days=2))
    assert judged(server, anchors_of(authority), "mx.example.org") == ""
    assert judged(server, anchors_of(authority), "mx.example.org", NOW + timedelta(days=3))
    assert judged(server, anchors_of(trustme.CA()), "mx.example.org")
    assert judged(server, TrustAnchors(()), "mx.example.org") == "no trust anchors"
    assert (
        judged(server, anchors_of(authority), "mx.other.example") == "leaf certificate has no matching subjectAltName"
    )


def test_anchors_come_from_a_file(tmp_path: Path) -> None:
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    file.write_bytes(
        b"junk\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + authority.cert_pem.bytes()
    )
    assert judged(context(authority, "mx.example.org"), TrustAnchors.load(file), "mx.example.org") == ""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        TrustAnchors.load(tmp_path / "missing.pem")
    file.write_text("nothing")
    with pytest.raises(ConfigurationError, match="no certificate"):
        TrustAnchors.load(file)


def test_old_protocols_are_not_spoken() -> None:  # E08
    assert client_context().minimum_version is ssl.TLSVersion.TLSv1_2


def test_families_follow_the_sources() -> None:
    assert families_of([Source("a", "127.0.0.1", "a.example")]) == {4}
    assert families_of([Source("a", "::1", "a.example")]) == {6}
    assert families_of([Source("a", "127.0.0.1", "a"), Source("b", "::1", "b")]) == {4, 6}
    assert 4 in families_of([Source("a", "", "a.example")])
