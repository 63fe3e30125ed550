"""`/.well-known/mta-sts.txt`: the TLS policies of our inbound domains, told apart by host name (RFC 8461 §3.3)."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from relay.api.operation import Operation
from relay.api.problem import HEADERS, Problem, not_found
from relay.policy.mta_sts import StsPolicy, policy_text


class MtaSts:
    """Serves `policies`, by domain, at `mta-sts.DOMAIN` in clear: HTTPS is the proxy's in front."""

    def __init__(self, policies: Mapping[str, StsPolicy]) -> None:
        self._texts = {f"mta-sts.{domain}": policy_text(policy) for domain, policy in policies.items()}

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        path, summary = "/.well-known/mta-sts.txt", "The MTA-STS policy of the domain whose host is asked."
        return (Operation("mtaStsPolicy", "GET", path, summary, "text/plain", (404,), open=self.policy),)

    async def policy(self, request: web.Request) -> web.Response | Problem:
        """The policy for the Host asked, or 404."""
        text = self._texts.get(request.host.partition(":")[0].lower().rstrip("."))
        return not_found() if text is None else web.Response(text=text, content_type="text/plain", headers=HEADERS)
