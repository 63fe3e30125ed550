"""The files of postfix-example/, run by the real Postfix: a message goes through each."""

from __future__ import annotations

import asyncio
import pwd
import smtplib
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from relay.policy.state import State
from tests.support.postfix_instance import ShippedPostfix, postfix_instance
from tests.support.postfix_receiver import UNFIT
from tests.support.whole_relay import whole_relay

EXAMPLE = Path(__file__).parents[2] / "postfix-example"
LETTER = b"From: Ann <ann@leak.lab.test>\r\nTo: ok@inbox.lab.test\r\nSubject: through Postfix\r\n\r\n.dot\r\nend\r\n"

pytestmark = pytest.mark.skipif(bool(UNFIT), reason=UNFIT)


@pytest.mark.parametrize("folder", ["agent", "smarthost", "bounces"])
def test_the_readme_explains_each_line(folder: str) -> None:
    told = (EXAMPLE / "README.md").read_text().split(f"## {folder}/")[1].split("\n## ")[0]
    lines = (EXAMPLE / folder / "main.cf").read_text().splitlines()
    for name in (line.partition(" =")[0] for line in lines if line and not line.startswith(("#", " "))):
        # A family of settings is told of once: its head, then what the others end in.
        assert f"`{name}" in told or f"`_{name.rpartition('_')[2]}" in told or f"_{name.split('_', 3)[-1]}`" in told, (
            name
        )


async def test_postfix_relays_through_us_with_sasl_over_tls(tmp_path: Path) -> None:  # C, E07, S05
    async with whole_relay(tmp_path) as relay:
        hop = f"[127.0.0.1]:{relay.smtp_port}"
        shipped = "[mail.leak.example]:587 app1:the-password"
        passwords = (EXAMPLE / "agent" / "sasl_passwd").read_text()
        assert passwords.splitlines()[-1] == shipped
        parts = ShippedPostfix(
            EXAMPLE / "agent",
            "127.0.0.1:25",
            (
                f"relayhost = {hop}",
                "smtp_sasl_password_maps = texthash:{folder}/sasl_passwd",
                "smtp_tls_CAfile = {folder}/ca.pem",
                "smtp_tls_secure_cert_match = mail.leak.lab.test",
            ),
            {
                "sasl_passwd": passwords.replace(
                    "[mail.leak.example]:587 app1:the-password", f"{hop} lab:lab"
                ).encode(),
                "ca.pem": relay.lab.ca_file.read_bytes(),
            },
        )
        async with postfix_instance(parts) as agent:
            await asyncio.to_thread(hand_in, agent.port)
            (arrival,) = await relay.arrivals("ok@inbox.lab.test")
            content = arrival.posting.content
            assert b"\r\n.dot\r\nend\r\n" in content
            assert b"DKIM-Signature: " in content
            # What Postfix said to us, and that it was let in by its login, over TLS.
            assert b"with ESMTPSA" in content


def hand_in(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.sendmail("ann@leak.lab.test", ["ok@inbox.lab.test"], LETTER)


def test_the_agent_takes_mail_from_this_machine_only() -> None:  # S14
    text = (EXAMPLE / "agent" / "main.cf").read_text()
    assert "inet_interfaces = loopback-only\n" in text
    assert "smtpd_relay_restrictions = permit_mynetworks, reject\n" in text


async def test_we_deliver_through_postfix_as_smarthost(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain = certificate.private_key_pem.bytes() + b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    (tmp_path / "anchors.pem").write_bytes(authority.cert_pem.bytes())
    parts = ShippedPostfix(
        EXAMPLE / "smarthost",
        "192.0.2.25:587",
        (
            "mynetworks = 127.0.0.1/32",
            "smtpd_tls_chain_files = {folder}/chain.pem",
            # Instead of the Internet, one mailbox for everybody.
            "virtual_mailbox_domains = static:all",
            "virtual_mailbox_maps = static:box/",
            "virtual_mailbox_base = {folder}/mail",
            "virtual_minimum_uid = 1",
            "virtual_uid_maps = static:{uid}",
            "virtual_gid_maps = static:{gid}",
        ),
        {"chain.pem": chain},
    )
    async with postfix_instance(with_owner(parts)) as smarthost:
        (route,) = tomllib.loads((EXAMPLE / "smarthost" / "relay.toml").read_text())["delivery"]["route"]
        assert route.pop("next_hop") == "out.leak.example:587"
        delivery = {"route": [{**route, "next_hop": f"127.0.0.1:{smarthost.port}"}], "ca_file": "anchors.pem"}
        async with whole_relay(tmp_path, delivery=delivery) as relay:
            message = await relay.send("ann@leak.lab.test", ["anybody@far.example"], LETTER)
            view = await relay.until(message, State.DELIVERED)
            final = next(event.detail for event in view.events if event.detail.get("result") == "delivered")
            assert final["tls"]["verified"]
            assert final["tls"]["demand"] == "verify"
            (mail,) = await smarthost.mails(1)
            assert b"\r\n.dot\r\nend\r\n" in mail
            assert b"with ESMTPS id" in mail


def with_owner(parts: ShippedPostfix) -> ShippedPostfix:
    """The mailbox belongs to Postfix's user."""
    owner = pwd.getpwnam("postfix")
    lines = (one.replace("{uid}", str(owner.pw_uid)).replace("{gid}", str(owner.pw_gid)) for one in parts.main)
    return replace(parts, main=tuple(lines))
