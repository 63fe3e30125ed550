"""`leak doctor --seeds`: letters to the operator's own mailboxes, where they arrived, and the history of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relay.cli.context import stores
from relay.cli.output import UsageError, say, warn
from relay.private_file import read_private_file

if TYPE_CHECKING:
    from relay.doctor.finding import Finding
    from relay.doctor.seeding import Seed, Seeding, SeedResult
    from relay.figures.seeds import SeedLetter
    from relay.opening import Stores
    from relay.settings import Settings

HISTORY: Final = timedelta(days=90)


async def seed_findings(
    settings: Settings, *, send: bool, told: Callable[[Finding], None]
) -> tuple[list[Finding], list[SeedLetter], list[SeedLetter]]:
    """The findings, the letters of this time, and all that is remembered.

    Raises UsageError when no seed is configured, ConfigurationError and what opening the spool raises.
    """
    from relay.clock import SystemClock
    from relay.doctor.seeding import try_seeds

    if not settings.doctor.seeds and send:
        raise UsageError("no seeds are configured: write a [[doctor.seeds]] section for each mailbox (docs/doctor.md)")
    now = SystemClock().now()
    async with stores(settings, must_exist=True) as opened:
        results: list[SeedResult] = []
        if send:
            wait = settings.doctor.seed_wait.total_seconds()
            warn(f"a letter to each of {len(settings.doctor.seeds)} mailboxes; looking for them {wait:.0f} s at most")
            async with _means(settings, opened) as means:
                results = await try_seeds(means, _seeds(settings), lambda one: told(one.finding))
            await opened.figures.add_seed_letters([one.letter for one in results if one.letter is not None])
            await _tell(opened, [one.finding for one in results])
        history = await opened.figures.seed_letters(now - HISTORY)
    letters = [one.letter for one in results if one.letter is not None]
    return [one.finding for one in results], letters, history


def say_history(history: Sequence[SeedLetter]) -> None:
    """A line for each seed, oldest letter first."""
    from relay.doctor.seed_chart import by_seed, share_of_inbox, sparkline

    if not history:
        say("no letters yet")
        return
    seeds = by_seed(history)
    wide = max(map(len, seeds))
    say(f"last {HISTORY.days} days, the newest to the right")
    say(
        "  where: . inbox, J junk, o another folder, x missing, R refused, w waiting; how long: ▁ under 2 s … █ an hour"
    )
    for seed, letters in seeds.items():
        say(f"{seed:<{wide}}  inbox {share_of_inbox(letters):<9} {sparkline(letters)}")


def plain(letter: SeedLetter) -> dict[str, object]:
    """A letter as `--json` tells it."""
    return {name: value.value if name == "landing" else value for name, value in asdict(letter).items()}


async def _tell(opened: Stores, findings: Sequence[Finding]) -> None:
    """Alarms, which the node that runs takes to a person. What could not be found out changes nothing."""
    from relay.doctor.finding import Severity
    from relay.policy.alarms import AlarmKind

    kind = AlarmKind.SEEDS.value
    for finding in findings:
        if finding.severity.alarms:
            await opened.spool.raise_alarm(kind, finding.subject, f"{finding.evidence}; {finding.remedy}")
        elif finding.severity is not Severity.UNKNOWN:
            await opened.spool.clear_alarm(kind, finding.subject)
    named = {finding.subject for finding in findings}
    for alarm in await opened.spool.alarms():
        if alarm.kind == kind and alarm.subject not in named:
            await opened.spool.clear_alarm(kind, alarm.subject)


def _seeds(settings: Settings) -> list[Seed]:
    """The mailboxes, closed. Raises ConfigurationError."""
    from relay.doctor.mailbox import Login, Mailbox
    from relay.doctor.seeding import Seed
    from relay.doctor.subject import Place
    from relay.mail.address import parse_address
    from relay.resolver.policy_host import https_context

    context = https_context(settings.path(settings.delivery.ca_file) if settings.delivery.ca_file else None)
    seconds = settings.doctor.timeout.total_seconds()
    seeds: list[Seed] = []
    for one in settings.doctor.seeds:
        server = Place(one.imap.host, one.imap.port)
        login = Login(server, one.imap.tls, one.user or one.address, _password(settings, one.called, one.password_file))
        mailbox = Mailbox(login, context, seconds)
        seeds.append(Seed(one.called, parse_address(one.address), mailbox, one.remove))
    return seeds


def _password(settings: Settings, name: str, file: Path) -> str:
    from relay.errors import ConfigurationError

    try:
        password = read_private_file(settings.path(file)).decode().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"doctor.seeds: {name}: password_file: {error}") from None
    if not password:
        raise ConfigurationError(f"doctor.seeds: {name}: password_file: {settings.path(file)} is empty")
    return password


@asynccontextmanager
async def _means(settings: Settings, opened: Stores) -> AsyncIterator[Seeding]:
    """An intake of the command's own: it commits, and the node that runs writes, signs and delivers.

    Raises ConfigurationError when no sender can be told.
    """
    from relay.account.identity import LOCAL_TENANT, Identity
    from relay.clock import SystemClock
    from relay.doctor.seeding import Seeding
    from relay.engine.alarms import Alarms
    from relay.engine.intake import FastPath, MailIntake
    from relay.engine.prelude import PreludeWriter
    from relay.engine.preparing import IntakeParts
    from relay.ids import SystemEntropy
    from relay.mail.address import parse_address
    from relay.making import engine_options, make_signer
    from relay.sources import own_names
    from relay.spool.work import Incarnation

    clock, entropy, signer = SystemClock(), SystemEntropy(), make_signer(settings)
    tenant = await opened.accounts.ensure_tenant(LOCAL_TENANT)

    def nobody() -> Incarnation:
        raise AssertionError("a letter to a seed is small")

    intake = MailIntake(
        engine_options(settings, 0, 1).intake,
        IntakeParts(
            opened.spool,
            signer,
            PreludeWriter(signer, clock, entropy),
            Alarms(opened.spool, clock),
            clock,
            entropy,
            # Whoever takes it from the spool writes the prelude: keys and return tokens are the node's.
            may_wait=lambda *_: True,
        ),
        FastPath(lease=lambda _: None, life=nobody, hand_over=lambda _: None),
    )
    identity = Identity(tenant, LOCAL_TENANT, None, "seeds", ("*",))
    sender = parse_address(_sender(settings))
    names = frozenset(name.lower() for name in own_names(settings))
    try:
        wait = settings.doctor.seed_wait.total_seconds()
        yield Seeding(intake, opened.spool, identity, sender, names, clock, entropy, wait, pause=min(5.0, wait / 20))
    finally:
        signer.close()


def _sender(settings: Settings) -> str:
    from relay.errors import ConfigurationError

    if settings.doctor.seed_sender:
        return settings.doctor.seed_sender
    if not settings.signing.domain:
        raise ConfigurationError("doctor.seed_sender: missing; there is no [[signing.domain]] to take one from")
    return f"postmaster@{settings.signing.domain[0].domain}"
