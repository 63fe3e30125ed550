"""The real Postfix as public mail exchanger, from the files of postfix-example/bounces/: bounces come through to us."""

from __future__ import annotations

import asyncio
import smtplib
import tomllib
from pathlib import Path

import pytest
import trustme

from relay.policy.state import State
from tests.support.postfix_instance import ShippedPostfix, postfix_instance
from tests.support.postfix_receiver import UNFIT
from tests.support.whole_relay import whole_relay
from tests.unit.inbound.test_door import DSN, LETTER

EXAMPLE = Path(__file__).parents[2] / "postfix-example" / "bounces"
DOMAIN = "bounces.leak.lab.test"

pytestmark = pytest.mark.skipif(bool(UNFIT), reason=UNFIT)


def knock(port: int, recipient: str, content: str = "") -> int:
    """The answer to RCPT from the null path over STARTTLS, or to the dot where there is content."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.starttls()
        client.ehlo("mx.example")
        assert client.mail("")[0] == 250
        code = client.rcpt(recipient)[0]
        return client.data(content.encode())[0] if content and code == 250 else code


async def test_bounces_come_through_and_forged_ones_stop_at_postfix(tmp_path: Path) -> None:  # G14, S14, S18, S22
    inbound = tomllib.loads((EXAMPLE / "relay.toml").read_text())["inbound"]
    assert inbound["listen"] == ["127.0.0.1:2526"]
    certificate = trustme.CA().issue_cert("mail.leak.example")
    chain = certificate.private_key_pem.bytes() + b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    settings = {**inbound, "listen": ["127.0.0.1:0"], "domain": DOMAIN}
    async with whole_relay(tmp_path, inbound=settings) as relay:
        parts = ShippedPostfix(
            EXAMPLE,
            "0.0.0.0:25",
            (
                f"relay_domains = {DOMAIN}",
                f"relay_transport = relay:[127.0.0.1]:{relay.inbound_port}",
                "smtpd_tls_chain_files = {folder}/chain.pem",
            ),
            {"chain.pem": chain},
        )
        async with postfix_instance(parts) as exchanger:
            message = await relay.send("ann@leak.lab.test", ["ok@inbox.lab.test"], LETTER)
            await relay.until(message, State.DELIVERED)
            (arrival,) = await relay.arrivals("ok@inbox.lab.test")
            path = arrival.posting.reverse_path
            forged = f"{path[:9]}{'a' if path[9] != 'a' else 'b'}{path[10:]}"
            assert await asyncio.to_thread(knock, exchanger.port, forged) == 550
            assert await asyncio.to_thread(knock, exchanger.port, "victim@example.org") in (550, 554)
            assert await asyncio.to_thread(knock, exchanger.port, path, DSN) == 250
            view = await relay.until(message, State.RETURNED)
            assert view.events[-1].detail["reason"] == "unknown-user"
