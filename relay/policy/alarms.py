"""Every kind of alarm: what it means, what to do, what ends it. `docs/reference/alarms.md` is written from here.

An alarm is a standing row with a kind and a subject, raised once and ended once; a kind that is not here cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class AlarmKind(StrEnum):
    """The kinds, as stored."""

    ABUSE_MAIL = "abuse-mail"
    ADDRESS = "address"
    BLOCKLIST = "blocklist"
    BLOCKLISTED = "blocklisted"
    BOUNCES = "bounces"
    CERTIFICATE = "certificate"
    CERTIFICATE_FILES = "certificate-files"
    CLOCK = "clock"
    COMPLAINTS = "complaints"
    DAMAGED_SPOOL = "damaged-spool"
    DATABASE = "database"
    DEFERRALS = "deferrals"
    DISK = "disk"
    DKIM = "dkim"
    DKIM_KEY = "dkim-key"
    DMARC = "dmarc"
    EHLO = "ehlo"
    FSYNC = "fsync"
    IDENTITY = "identity"
    INBOUND_UNREAD = "inbound-unread"
    JOURNAL = "journal"
    KEY_AGE = "key-age"
    LEGAL_REQUEST = "legal-request"
    MODERATION = "moderation"
    MTA_STS = "mta-sts"
    MX = "mx"
    NODE_NAME_TAKEN = "node-name-taken"
    OPEN_RELAY = "open-relay"
    PILE = "pile"
    PORT_25 = "port-25"
    POSTMASTER_MAIL = "postmaster-mail"
    PROVIDER = "provider"
    PTR = "ptr"
    QUARANTINE = "quarantine"
    QUEUE_AGE = "queue-age"
    RELAY_AWAY = "relay-away"
    RESOLVER = "resolver"
    SEALING_KEYS = "sealing-keys"
    SECRETS = "secrets"
    SEEDS = "seeds"
    SPF = "spf"
    THREAT_TO_LIFE = "threat-to-life"
    TORN_CONTENT = "torn-content"
    VERSIONS = "versions"
    WEBHOOK_DISABLED = "webhook-disabled"
    WORKERS = "workers"


@dataclass(frozen=True, slots=True)
class About:
    """What a kind means, what a person does about it, and what ends it."""

    means: str
    remedy: str
    ends: str


_BY_DOCTOR: Final = "the node's next hourly look finds it right"
_DOCTOR: Final = "do what the evidence says; `leak doctor` shows it anew"


def _doctor(means: str, remedy: str = _DOCTOR) -> About:
    return About(means, remedy, _BY_DOCTOR)


ABOUT: Final[Mapping[AlarmKind, About]] = {
    AlarmKind.ABUSE_MAIL: About(
        "mail to abuse@ waits for a person: a recipient, a provider or an authority complains",
        "read it (`leak inbound list`, `leak inbound show ID --raw`), act, answer in a day; then `leak inbound done`",
        "nothing to abuse@ waits any more",
    ),
    AlarmKind.ADDRESS: _doctor("receivers see another address than the one PTR and SPF are about, or none is known"),
    AlarmKind.BLOCKLIST: _doctor(
        "an address or a domain of ours is on a blocklist: its users refuse or junk our mail",
        "find and stop the cause (`leak report --by stream,provider`), then ask the list for removal",
    ),
    AlarmKind.BLOCKLISTED: About(
        "a provider refuses mail and names a blocklist in its replies",
        "`leak doctor --only blocklist` says which; find and stop the cause, then ask the list for removal",
        "the provider has not said so for three hours",
    ),
    AlarmKind.BOUNCES: About(
        "a provider bounces far more of our mail than it used to",
        "`leak report --by provider,hour` shows the reasons; unknown users mean a bad list, policy means a reputation "
        "or an authentication fault: stop the stream that causes it (`leak queue suspend`)",
        "the provider's rate is near its past again, or nothing goes there",
    ),
    AlarmKind.CERTIFICATE: _doctor(
        "a certificate of ours has expired, will within 14 days, or names somebody else",
        "renew it (certbot renew, or the ACME client in use); the node takes it over within a minute",
    ),
    AlarmKind.CERTIFICATE_FILES: About(
        "a certificate's files were changed and cannot be used: the former certificate still is, until a restart",
        "let both files be readable for the node's user and belong together (docs/service.md); `leak check` says more",
        "the files fit together again, within a minute",
    ),
    AlarmKind.CLOCK: _doctor("this machine's clock is wrong: signatures and leases carry its time"),
    AlarmKind.COMPLAINTS: About(
        "recipients complain about a stream so often that it is slowed or stopped",
        "find out why people do not want this mail; then `leak queue resume --tenant T --stream S`",
        "the brake is taken off",
    ),
    AlarmKind.DAMAGED_SPOOL: About(
        "the spool's database file is damaged: new mail is refused, what can be read is delivered",
        "stop the node, keep the file, restore the last backup (docs/backup.md), and look for a failing disk",
        "an examination at a start finds the file sound",
    ),
    AlarmKind.DATABASE: About(
        "the node cannot use its database: new mail gets 4xx, nothing is lost, nothing leaves",
        "see that the server runs and answers at spool.url, and its log; the node goes on by itself",
        "the database answers again",
    ),
    AlarmKind.DEFERRALS: About(
        "a provider puts off far more of our mail than it used to",
        "`leak queue` shows where mail waits and why, `leak report --by provider,hour` since when; mostly a rate or a "
        "reputation limit: send less there until it ends",
        "the provider's rate is near its past again, or nothing goes there",
    ),
    AlarmKind.DISK: _doctor(
        "the spool's disk is nearly full; below spool.minimum_free new mail gets 452",
        "make room; `leak queue` says whether mail piles up",
    ),
    AlarmKind.DKIM: _doctor("the DKIM record in the DNS is not that of the key that signs: signatures fail"),
    AlarmKind.DKIM_KEY: About(
        "a domain's DKIM key cannot be read: its mail is held, for it would leave unsigned",
        "put the key back (`leak dkim list` says what is wrong), `leak reload`, then `leak queue release`",
        "the key can be used again",
    ),
    AlarmKind.DMARC: _doctor("a From domain has no DMARC record, or our mail does not align with it"),
    AlarmKind.EHLO: _doctor("the name we say in EHLO does not exist, or is another host's"),
    AlarmKind.FSYNC: _doctor("the spool's disk is slow: every accepted mail waits for it"),
    AlarmKind.IDENTITY: About(
        "a provider refuses mail because SPF, DKIM, DMARC, PTR or EHLO do not satisfy it",
        "`leak doctor` says which record is wrong; mail that waits goes on by itself once it is mended",
        "the provider has not said so for three hours",
    ),
    AlarmKind.INBOUND_UNREAD: About(
        "a mail that came in broke the program that reads such mail, and was put aside so that the others go on",
        "`leak inbound show ID --raw`; keep it for a report, then `leak inbound done ID`",
        "no such mail waits any more",
    ),
    AlarmKind.JOURNAL: About(
        "the journal's file cannot be written; events wait and are not lost",
        "make room or mend the rights of journal.file",
        "it can be written again",
    ),
    AlarmKind.KEY_AGE: _doctor("a DKIM key has signed for more than 400 days", "`leak dkim rotate`"),
    AlarmKind.LEGAL_REQUEST: About(
        "a request of an authority is owed its answer within two days, or was before",
        "`leak requests list` says which; answer it, then `leak requests close`",
        "nothing that is due so soon is open",
    ),
    AlarmKind.MODERATION: About(
        "letters wait for a moderator longer than they should",
        "open the moderators' desk and decide",
        "none waits that long any more",
    ),
    AlarmKind.MTA_STS: _doctor("our MTA-STS policy is announced and does not answer: bounces may not reach us"),
    AlarmKind.MX: _doctor("bounces or replies do not reach us: a wrong MX record, or port 25 inward is closed"),
    AlarmKind.NODE_NAME_TAKEN: About(
        "another node of the same name has begun, and this one stopped for good",
        "give each node a node.name of its own, then start this one again",
        "a node of that name starts alone",
    ),
    AlarmKind.OPEN_RELAY: _doctor(
        "a door of ours takes strangers' mail to strangers: it will be used for spam within hours",
        "stop the node; see submission.require_auth and submission.trusted_networks",
    ),
    AlarmKind.PILE: About(
        "letters, notices or replies wait for a person, nearly as many as may: who comes then is sent away",
        "decide about them at the desk (`leak letters held`); `web.most_waiting` lets more wait",
        "less than 60 % of the room is used",
    ),
    AlarmKind.PORT_25: _doctor("no mail host can be reached: port 25 outward is closed, or the smarthost is away"),
    AlarmKind.POSTMASTER_MAIL: About(
        "mail to postmaster@ waits for a person",
        "read it (`leak inbound list`), answer, then `leak inbound done ID`",
        "nothing to postmaster@ waits any more",
    ),
    AlarmKind.PROVIDER: About(
        "a provider said something that a person should know (config/providers.toml, `alarm`)",
        "read its reply in the evidence, and follow the provider's own page; `leak queue` shows what is suspended",
        "the provider has not said so for a day",
    ),
    AlarmKind.PTR: _doctor(
        "an address of ours has no reverse name that leads back to it: large providers refuse its mail",
        "ask whoever gives you the address to set its PTR record to the EHLO name",
    ),
    AlarmKind.QUARANTINE: About(
        "a message broke workers again and again, and is held so that the others go on",
        "`leak message ID` shows its life; keep it for a report, then `leak queue release` or `cancel --id ID`",
        "somebody decides what becomes of the message",
    ),
    AlarmKind.QUEUE_AGE: About(
        "mail that is due does not leave: the node does not keep up, or is stuck",
        "`leak queue` shows where; look at the processor, the disk and the log; more workers or nodes help with load",
        "what is due leaves in time again",
    ),
    AlarmKind.RELAY_AWAY: About(
        "the relay of a front on another machine has taken no question for some minutes, and letters wait at the front",
        "`leak check` on the front's machine says why: the way, the certificate, the key, the relay itself",
        "the relay answers again",
    ),
    AlarmKind.RESOLVER: _doctor("the DNS does not answer, or is one that mail should not rely on"),
    AlarmKind.SEALING_KEYS: _doctor(
        "the keys to which a front seals who sent a letter end within 60 days, or have: records then go too early",
        "on the custodian's machine `leak sealed new-keys`, then copy the public halves to web.sealed_keys",
    ),
    AlarmKind.SECRETS: _doctor("everybody on the machine may read a key or a secret"),
    AlarmKind.SEEDS: About(
        "a letter to a mailbox of your own (`[[doctor.seeds]]`) was junk, missing, refused or not authenticated there",
        '`leak doctor --seeds --history` shows since when; then docs/first-month.md, "When a provider refuses"',
        "the next `leak doctor --seeds` finds the letter in the inbox, or that mailbox is no seed any more",
    ),
    AlarmKind.SPF: _doctor("SPF does not let an address of ours send for a domain of ours"),
    AlarmKind.THREAT_TO_LIFE: About(
        "a moderator says that a letter threatens somebody's life",
        "open the list Cases of the moderators' desk now: call the police, send the notification, note that you did",
        "the authorities were told, or the case is closed",
    ),
    AlarmKind.TORN_CONTENT: About(
        "a message's content in the spool is missing or torn; it is held",
        "tell its sender, `leak queue bounce --id ID`, and look for a failing disk",
        "somebody decides what becomes of the message",
    ),
    AlarmKind.VERSIONS: _doctor("a program under the relay is too old"),
    AlarmKind.WEBHOOK_DISABLED: About(
        "a webhook took nothing for so long that it was switched off; its events are kept",
        "tell its owner; `POST /api/v1/webhooks/ID/enable` goes on where it stopped",
        "it is enabled or removed",
    ),
    AlarmKind.WORKERS: About(
        "worker processes die and are started again and again",
        "the log has `worker-died` and what went before it; too little memory is the usual cause",
        "no worker died for half an hour",
    ),
}


def remedy_of(kind: str) -> str:
    """What to do about an alarm; empty for a kind of another version of this program."""
    return ABOUT[AlarmKind(kind)].remedy if kind in set(AlarmKind) else ""
