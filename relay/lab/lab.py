"""The lab as a whole: `Lab` builds its parts, starts them within a moment and stops them without a trace.

Used by `make run`, `leak lab` and the tests, which run several side by side with ports and subnets of their
own. Everything listens on loopback only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from relay.clock import Clock
from relay.ids import Entropy
from relay.lab.authority import Authority, CertificateFiles
from relay.lab.behaviour import Tls
from relay.lab.correspondents import Correspondents
from relay.lab.directory import HostEntry, entries
from relay.lab.dns import NameServer
from relay.lab.examiner import Examiner
from relay.lab.guard import guard
from relay.lab.hosts import DOMAINS, HOSTS, RELAY_NAME, RETURN_DOMAIN, LabDomain, LabHost, lay_out
from relay.lab.inbox import MAX_MAILS, MAX_OCTETS, Inbox
from relay.lab.inbox_api import InboxApi
from relay.lab.inbox_pages import Facts, InboxPages
from relay.lab.listening import taken
from relay.lab.mailbox import Posting
from relay.lab.mailhost import MailHosts
from relay.lab.policies import PolicyHost, policy_names, publish_sts, publish_tlsa
from relay.lab.zone import Zone, ZoneResolver
from relay.log import Log

HOME: Final = "127.0.0.1"
_MAX_REQUEST = 1_000_000

_log = Log("lab")


@dataclass(frozen=True, slots=True)
class LabPlan:
    """Where a lab listens and what it plays; port 0 picks a free one, `subnet` is N in 127.0.N.x.

    `judge_all` False leaves the verdicts until somebody looks, for measuring a relay at full speed.
    """

    dns_port: int = 5300
    http_port: int = 8025
    smtp_port: int = 10025
    policy_port: int = 0
    subnet: int = 1
    hosts: tuple[LabHost, ...] = HOSTS
    domains: tuple[LabDomain, ...] = DOMAINS
    max_mails: int = MAX_MAILS
    max_octets: int = MAX_OCTETS
    judge_all: bool = True


class Lab:
    """One lab. `zone` and `inbox` may be used before and while it runs; the ports are known once it started."""

    def __init__(self, folder: Path, clock: Clock, entropy: Entropy, plan: LabPlan | None = None) -> None:
        self.plan = plan or LabPlan()
        self.zone = Zone()
        lay_out(self.zone, self.plan.subnet, self.plan.hosts, self.plan.domains)
        self.inbox = Inbox(clock, entropy, max_mails=self.plan.max_mails, max_octets=self.plan.max_octets)
        self.authority = Authority(folder, clock.now())
        self.dns_port = self.plan.dns_port
        self.http_port = self.plan.http_port
        self.smtp_port = self.plan.smtp_port
        self.policy_port = self.plan.policy_port
        self._clock = clock
        self._examiner = Examiner(self.inbox, ZoneResolver(self.zone))
        self._names = NameServer(self.zone, HOME, self.plan.dns_port)
        publish_sts(self.zone, self.plan.domains, HOME)
        self._certificates: dict[Tls, CertificateFiles] = self._issue_for_hosts()
        contexts = {kind: files.context() for kind, files in self._certificates.items()}
        self._returns_port = 0
        self._correspondents = Correspondents(ZoneResolver(self.zone), clock, self._port_of)
        self._mail = MailHosts(self.plan.hosts, contexts, clock, self._take)
        self._policies = self._policy_host()
        self._web: web.AppRunner | None = None

    @property
    def ca_file(self) -> Path:
        """The authority's certificate, PEM: what the relay trusts as `delivery.ca_file`."""
        return self.authority.ca_file

    @property
    def nameserver(self) -> str:
        """The name server as the relay's `resolver.nameservers` takes it."""
        return f"{HOME}:{self.dns_port}"

    @property
    def inbox_url(self) -> str:
        """The inbox's address to open."""
        return f"http://{HOME}:{self.http_port}"

    @property
    def hosts(self) -> tuple[HostEntry, ...]:
        """Every lab domain, where it is served and how it behaves."""
        return entries(self.plan.hosts, self.plan.domains, self.plan.subnet, self.smtp_port)

    def issue(self, label: str, *names: str) -> CertificateFiles:
        """A certificate of the lab's authority, for instance for the relay's own submission port."""
        return self.authority.issue(label, names)

    def point_returns(self, port: int) -> None:
        """Let the return domain's mail go to the relay's inbound door at `port` of this machine."""
        self._returns_port = port
        self.zone.publish(RETURN_DOMAIN, "MX", f"10 {RELAY_NAME}.")

    def _port_of(self, host: str) -> int:
        return self._returns_port if host == RELAY_NAME and self._returns_port else self.smtp_port

    def _take(self, posting: Posting) -> str:
        """Keep a mail, and let who answers such mail write back."""
        number = self.inbox.add(posting)
        self._correspondents.consider(posting)
        return number

    async def start(self) -> None:
        """Open everything; on PortTakenError or MissingAliasError nothing stays open."""
        try:
            await self._names.start()
            self.dns_port = self._names.port
            self.smtp_port = await self._mail.start(self.plan.subnet, self.plan.smtp_port)
            if Tls.GOOD in self._certificates:
                good = self._certificates[Tls.GOOD]
                publish_tlsa(self.zone, self.plan.hosts, self.plan.domains, self.smtp_port, good)
            if self._policies is not None:
                self.policy_port = await self._policies.start(HOME, self.plan.policy_port)
            if self.plan.judge_all:
                self.inbox.tell(self._examiner.offer)
                await self._examiner.start()
            await self._start_web()
        except BaseException:
            await self.stop()
            raise
        _log.info("lab-started", dns=self.nameserver, smtp_port=self.smtp_port, inbox=self.inbox_url)

    async def stop(self) -> None:
        """Close everything; may be called after a start that failed, and twice."""
        if self._web is not None:
            await self._web.cleanup()
            self._web = None
        await self._mail.stop()
        await self._correspondents.stop()
        if self._policies is not None:
            await self._policies.stop()
        await self._examiner.stop()
        await self._names.stop()

    async def _start_web(self) -> None:
        # The port is part of the Host header, so the allow-list is filled once it is known.
        hosts: set[str] = set()
        app = web.Application(middlewares=[guard(hosts)], client_max_size=_MAX_REQUEST)
        directory = self.hosts
        facts = Facts(directory, self.smtp_port, self.nameserver, str(self.ca_file))
        app.add_routes(InboxApi(self.inbox, self._examiner, directory).routes())
        app.add_routes(InboxPages(self.inbox, self._examiner, facts, self._correspondents).routes())
        self._web = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=30.0)
        await self._web.setup()
        try:
            await web.TCPSite(self._web, HOME, self.plan.http_port).start()
        except OSError as error:
            raise taken("inbox", HOME, self.plan.http_port, "lab.inbox (LEAK_LAB__INBOX)", error) from error
        self.http_port = self._web.addresses[0][1]
        hosts.update(f"{name}:{self.http_port}" for name in (HOME, "localhost"))

    def _issue_for_hosts(self) -> dict[Tls, CertificateFiles]:
        good = [host.name for host in self.plan.hosts if host.behaviour.tls is Tls.GOOD]
        files = {}
        if good:
            files[Tls.GOOD] = self.authority.issue("hosts", good)
        if any(host.behaviour.tls is Tls.WRONG_NAME for host in self.plan.hosts):
            files[Tls.WRONG_NAME] = self.authority.issue("wrong-name", ["somebody.else.test"], self_signed=True)
        return files

    def _policy_host(self) -> PolicyHost | None:
        names = policy_names(self.plan.domains)
        return PolicyHost(self.plan.domains, self.authority.issue("policies", names).context()) if names else None
