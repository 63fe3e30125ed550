"""The sending stack's policies, built from the settings: TLS demands, static routes and their logins.

Stands between the settings and the router. The policy caches live in this worker's memory and in the database; they
are refreshed here while the node runs.
"""

from __future__ import annotations

from relay.clock import Clock
from relay.errors import ConfigurationError
from relay.log import Log
from relay.policy.route import Login
from relay.policy.tls import TlsDemand
from relay.private_file import read_private_file
from relay.resolver.contract import Resolver
from relay.resolver.demands import Demands
from relay.resolver.mta_sts import PolicyStore, StsPolicies
from relay.resolver.policy_host import PolicyHosts, https_context
from relay.resolver.routing import EVERY_DOMAIN, StaticRoute
from relay.settings import DeliveryRoute, Settings, parse_listen

_log = Log("sending")


class TlsPolicies:
    """What decides the TLS demands of one worker; `start` begins the refreshing, `close` ends it."""

    def __init__(self, settings: Settings, resolver: Resolver, clock: Clock, store: PolicyStore | None = None) -> None:
        delivery = settings.delivery
        self._settings = settings
        self._hosts: PolicyHosts | None = None
        self._sts: StsPolicies | None = None
        if delivery.mta_sts:
            self._hosts = PolicyHosts(
                resolver,
                https_context(settings.path(delivery.ca_file) if delivery.ca_file else None),
                allow_private=delivery.allow_private_addresses,
                port=delivery.mta_sts_port,
            )
            self._sts = StsPolicies(resolver, self._hosts, clock, store=store)
        self.demands = Demands(
            resolver,
            sts=self._sts,
            dane_on=delivery.dane and settings.resolver.trust_ad,
            static={entry.domain: TlsDemand(entry.demand) for entry in delivery.tls},
        )

    async def start(self) -> None:
        """Say what is on, and keep policies fresh (H01). Raises SpoolUnavailableError."""
        settings = self._settings
        if settings.delivery.dane and not settings.resolver.trust_ad:
            _log.info("dane-off", reason="resolver.trust_ad is false: no answer counts as secure")
        strangers = [str(one) for one in settings.resolver.nameservers if not one.loopback]
        if settings.resolver.trust_ad and strangers:
            # The AD bit is one bit of an unsigned packet: whoever is on the way can set it.
            _log.warning("ad-bit-from-afar", nameservers=",".join(strangers))
        if self._sts is not None:
            await self._sts.load()
            self._sts.start()

    async def close(self) -> None:
        """Give up fetches under way."""
        if self._sts is not None:
            await self._sts.close()
        if self._hosts is not None:
            await self._hosts.close()


def static_routes(settings: Settings) -> dict[str, StaticRoute]:
    """The operator's next hops by domain: `[[delivery.route]]`, and `delivery.smarthost` for all that have none.

    Raises ConfigurationError for a password that cannot be read.
    """
    routes = {entry.domain: _static_route(settings, entry) for entry in settings.delivery.route}
    if settings.delivery.smarthost:
        address = parse_listen(settings.delivery.smarthost)
        routes.setdefault(EVERY_DOMAIN, StaticRoute(address.host, address.port))
    return routes


def _static_route(settings: Settings, entry: DeliveryRoute) -> StaticRoute:
    login = _login(settings, entry)
    word = entry.tls or ("verify" if login else None)
    demand = TlsDemand(word) if word else None
    if not entry.next_hop:
        return StaticRoute("")
    if ":" not in entry.next_hop:
        return StaticRoute(entry.next_hop, None, demand, login)
    address = parse_listen(entry.next_hop)
    return StaticRoute(address.host, address.port, demand, login)


def _login(settings: Settings, entry: DeliveryRoute) -> Login | None:
    if entry.password_file is None:
        return None
    path = settings.path(entry.password_file)
    try:
        password = read_private_file(path).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error if isinstance(error, PermissionError) and error.strerror is None else f"{path} cannot be read"
        raise ConfigurationError(f"delivery.route: {entry.domain}: {reason}") from None
    if not password or "\0" in password:
        raise ConfigurationError(f"delivery.route: {entry.domain}: {path} holds no password")
    return Login(entry.user, password)
