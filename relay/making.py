"""Parts of the node that the settings alone decide: signer, resolver, dialer, router, and the engine's options.

Stands between the settings and whoever needs such a part: the node, commands of the operator, the simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from relay.clock import Clock
from relay.egress.certificates import TrustAnchors, client_context
from relay.egress.dialer import SmtpDialer
from relay.egress.opening import TlsMeans
from relay.egress.reach import ReachMemory
from relay.egress.timeouts import Timeouts
from relay.engine.dispatcher import DispatcherOptions
from relay.engine.engine import EngineOptions
from relay.engine.preparing import IntakeOptions
from relay.ids import Entropy
from relay.policy.complaints import BrakeRules
from relay.policy.notify import NoticeRule
from relay.policy.retry import RetrySchedule
from relay.policy.route import RouteRules
from relay.policy.shaping import Share
from relay.resolver.contract import Resolver
from relay.resolver.demands import Demands
from relay.resolver.resolver import DnsResolver
from relay.resolver.routing import Router
from relay.sending import static_routes
from relay.settings import Settings
from relay.signing.signer import DkimSigner, DomainKeys
from relay.sources import families, make_pools, own_addresses, own_names


def make_signer(settings: Settings) -> DkimSigner:
    """The signer of the configured domains."""
    signing = settings.signing
    domains = [DomainKeys(entry.domain, entry.selectors, entry.ed25519) for entry in signing.domain]
    return DkimSigner(settings.path(signing.keys), domains, signing.threads, signing.operator_domain)


def make_resolver(settings: Settings, clock: Clock) -> DnsResolver:
    """The resolver the settings name."""
    servers = [(address.host, address.port) for address in settings.resolver.nameservers]
    timeout = settings.resolver.timeout.total_seconds()
    return DnsResolver(servers, timeout=timeout, trust_ad=settings.resolver.trust_ad, clock=clock)


def make_dialer(settings: Settings, clock: Clock, reach: ReachMemory | None = None) -> SmtpDialer:
    """The dialer, with the system's trust anchors and the configured ones."""
    delivery = settings.delivery
    return SmtpDialer(
        TlsMeans(client_context(), TrustAnchors.load(settings.path(delivery.ca_file) if delivery.ca_file else None)),
        timeouts=replace(Timeouts().scaled(delivery.time_scale), connect=delivery.connect_timeout.total_seconds()),
        clock=clock,
        reach=reach,
        chunking=delivery.chunking,
    )


def make_router(
    settings: Settings,
    resolver: Resolver,
    entropy: Entropy,
    demands: Demands | None = None,
    reach: ReachMemory | None = None,
) -> Router:
    """The router, which knows our own names and addresses so that mail never loops to ourselves."""
    rules = RouteRules(
        port=settings.delivery.port,
        allow_private=settings.delivery.allow_private_addresses,
        own_names=own_names(settings),
        own_addresses=own_addresses(settings),
        families=families(settings),
        late=reach.late if reach else lambda _: False,
        literals=settings.delivery.address_literals,
        waivers=settings.delivery.tls_required_no,
    )
    return Router(resolver, rules, entropy, demands, static_routes(settings))


def engine_options(
    settings: Settings, worker: int, workers: int, tenants: Mapping[str, int] | None = None
) -> EngineOptions:
    """The engine's share of the settings; a path's connections are split among the workers.

    `tenants` are the spool's numbers of the tenants that the settings name.
    """
    delivery = settings.delivery
    return EngineOptions(
        worker=worker,
        intake=IntakeOptions(
            node_name=settings.node.name,
            max_size=settings.submission.max_message_size,
            max_recipients=settings.submission.max_recipients,
            expire_after=delivery.expire_after,
            hide_client=settings.submission.hide_client,
            one_click=frozenset(settings.unsubscribe.streams),
        ),
        dispatcher=DispatcherOptions(
            window=delivery.window,
            line=max(1, delivery.window // 4),
            rest=delivery.retry[0],
        ),
        schedule=RetrySchedule(delivery.retry, delivery.jitter),
        pools=make_pools(settings, tenants or {}),
        keep_content=settings.spool.keep_content,
        notices=NoticeRule(delivery.delay_notice, delivery.delay_notice_unasked),
        delivers="delivery" in settings.node.roles,
        brake=brake_rules(settings),
        workers=workers,
        share=Share(worker, workers),
    )


def brake_rules(settings: Settings) -> BrakeRules | None:
    """The complaint brake's rules, None when it is off."""
    wanted = settings.complaints
    if not wanted.brake:
        return None
    return BrakeRules(
        slow=wanted.slow,
        stop=wanted.stop,
        enough=wanted.enough,
        window=wanted.window,
        per_minute=wanted.per_minute,
    )
