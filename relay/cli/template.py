"""The commented configuration that `leak init` writes, and that is shipped as `config/relay.toml`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Answers:
    """What `leak init` must know; the defaults make the shipped file."""

    domain: str = "leak.example"
    hostname: str = "mail.leak.example"
    selectors: tuple[str, ...] = ("s2026a", "e2026a")
    return_domain: str = "bounces.leak.example"
    listen: tuple[str, ...] = ("0.0.0.0:587",)
    inbound: tuple[str, ...] = ("0.0.0.0:25",)
    http: str = "127.0.0.1:8080"
    spool: str = "sqlite:///var/lib/leak/spool.db"
    keys: str = "../dkim_keys"
    certificate: str = ""
    """PEM files of the node's certificate and key; without them the lines stay comments."""
    certificate_key: str = ""
    resolver: tuple[str, ...] = ()
    """The validating resolvers of this machine; none: the system's, whose AD bit counts for nothing."""
    addresses: tuple[str, ...] = ()
    """The public addresses mail leaves from, where they are known."""
    roles: tuple[str, ...] = field(default=("web", "api", "submission", "inbound", "delivery"))


_COMMENT_COLUMN: Final = 38

_TEMPLATE: Final = """\
# The relay's configuration. Every key, with its default: docs/reference/settings.md.
# Relative paths start at this file's folder. Durations "5m", sizes "25 MB"; {variable} is replaced from the
# environment; LEAK_SECTION__KEY overrides a key (LEAK_NODE__WORKERS=2). `leak check` says what is wrong.

[node]
name = {hostname}                # EHLO, Received, sender of reports; its PTR record must say the same
workers = 0                      # processes; 0 = one a core
roles = {roles}
secrets = "secrets"              # folder of secret keys (0600), made at first start, the same on all nodes

[spool]
url = {spool}

[submission]
# Programs and people hand in mail here. "/tls" after an address means implicit TLS (465).
listen = {listen}
require_auth = true              # false: AUTH is optional, strangers still get 550 5.7.1
trusted_networks = []            # may relay without AUTH and with any sender, e.g. ["127.0.0.1/32"]
max_message_size = "25 MB"
# Without a certificate STARTTLS is not offered, and AUTH only to trusted networks.
{submission_tls}

[api]
listen = {http}       # the HTTP API; behind a proxy that speaks HTTPS
admin_listen = "127.0.0.1:8081"  # the operator's pages, /admin, and the moderators' desk, /desk; loopback only

[inbound]
# Bounces and complaints come back here: the MX record of the domain below points to this node.
listen = {inbound}
domain = {return_domain}
{inbound_tls}

[resolver]
nameservers = {nameservers}                 # "host:port" each; empty = the system's
trust_ad = {trust_ad}                 # true only with a validating resolver of your own: it turns DANE on

[delivery]
retry = ["5m", "15m", "30m", "1h", "2h", "4h", "6h"]   # the last one repeats; jitter is added
expire_after = "5d"
smarthost = ""                   # "host:port" sends everything through it

[signing]
keys = {keys}           # folder of DOMAIN/SELECTOR.pem; `leak dkim new` makes one

[[signing.domain]]
domain = {domain}
selectors = {selectors}  # all of them sign
return_domain = {return_domain}  # within the organisational domain, so that SPF aligns
return_path = "ours"             # or "keep": leave a submitted MAIL FROM as it is

[web]
listen = {http}
base_url = {base_url}
trusted_proxies = []             # networks whose Forwarded / X-Forwarded-For is believed

# Who runs the service: the front's legal pages have to say it.
# [web.operator]
# name = "…"
# address = ["street", "town"]
# mail = "…"
# publisher = "…"                # director of publication
# host = "…"                     # who houses the machine

# One-click unsubscribe (RFC 8058) in every mail of these streams; "letters" and "doorbells" are the front's.
[unsubscribe]
streams = ["letters", "doorbells"]

# The local address to send from. None: the system chooses, and the node's name is the EHLO name.
# [[egress.source]]
# name = "ip1"
# address = "192.0.2.10"
# ehlo = {hostname}

# What `leak doctor` looks at, also every hour inside the node.
[doctor]
addresses = {addresses}                   # public addresses mail leaves from; none: those of the EHLO name

# How alarms reach you, never through this relay's own queue: docs/alarms.md. Name at least one way.
[alarm]
# command = "/usr/local/bin/page-me"   # gets the alarm as JSON on standard input
# ntfy = "https://ntfy.sh/a-topic-nobody-guesses"
# webhook = "https://chat.example/hooks/abc"
# smarthost = "smtp.another-provider.example:587"
# mail_to = ["ops@another-domain.example"]

[log]
level = "info"
format = "json"                  # or "text"
"""


def configuration_text(answers: Answers) -> str:
    """The file's text."""
    tls = f"tls = {{ certificate = {quote(answers.certificate)}, key = {quote(answers.certificate_key)} }}"
    if not answers.certificate:
        tls = '# tls = { certificate = "/etc/leak/tls/fullchain.pem", key = "/etc/leak/tls/privkey.pem" }'
    text = _TEMPLATE.format(
        variable="${NAME}",
        hostname=quote(answers.hostname),
        roles=_list(answers.roles),
        spool=quote(answers.spool),
        listen=_list(answers.listen),
        submission_tls=tls,
        inbound=_list(answers.inbound),
        inbound_tls=tls,
        return_domain=quote(answers.return_domain),
        http=quote(answers.http),
        keys=quote(answers.keys),
        domain=quote(answers.domain),
        selectors=_list(answers.selectors),
        addresses=_list(answers.addresses),
        nameservers=_list(answers.resolver),
        trust_ad="true" if answers.resolver else "false",
        base_url=quote(f"https://{answers.domain}"),
    )
    return "".join(map(_align, text.splitlines(keepends=True)))


def _align(line: str) -> str:
    """The comment after a value moved to one column, whatever the value's length."""
    setting, gap, comment = line.partition("  # ")
    if not gap or line.startswith("#"):
        return line
    return f"{setting.rstrip():<{_COMMENT_COLUMN}}  # {comment.lstrip()}"


def quote(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _list(items: tuple[str, ...]) -> str:
    return "[" + ", ".join(quote(item) for item in items) + "]"
