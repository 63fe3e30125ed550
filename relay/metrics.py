"""Metrics: every series of the relay, declared in one place with its meaning; the names are documented API.

prometheus-client keeps each worker's numbers in a mapped file when `PROMETHEUS_MULTIPROC_DIR` is set (the
supervisor sets it), so that `/metrics` of any worker answers the sum over all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client import REGISTRY as _REGISTRY

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600)

accepted = Counter("leak_accepted_total", "Messages accepted.", ["door"])
refused = Counter("leak_refused_total", "Submissions refused, by enhanced code.", ["door", "status"])
settled = Counter("leak_settled_total", "Deliveries settled, by the state they went to.", ["state"])
attempts = Counter("leak_attempts_total", "Attempts, by result and phase.", ["result", "phase"])
source_rests = Counter("leak_source_rests_total", "Times an egress source failed by itself and rested.", ["source"])
warm_up_waits = Counter(
    "leak_warm_up_waits_total", "Deliveries that began to wait for the ceiling of a young source.", ["source"]
)
warm_up_overflows = Counter(
    "leak_warm_up_overflows_total", "Deliveries that left from another source because of a ceiling.", ["source"]
)
late_results = Counter("leak_late_results_total", "Results that came after the lease was lost.")
accept_seconds = Histogram("leak_accept_seconds", "Seconds from a submission's end to its commit.", buckets=_SECONDS)
attempt_seconds = Histogram("leak_attempt_seconds", "Seconds an attempt took.", buckets=_SECONDS)
delivery_seconds = Histogram("leak_delivery_seconds", "Seconds from accept to the far side's 250.", buckets=_SECONDS)
commits = Counter("leak_commits_total", "Group commits of the spool.")
commit_items = Counter("leak_commit_items_total", "Units of work in those commits.")
commit_seconds = Histogram("leak_commit_seconds", "Seconds a group commit took.", buckets=_SECONDS)
window = Gauge("leak_window_deliveries", "Deliveries held in memory.", multiprocess_mode="livesum")
sessions = Gauge("leak_sessions", "Open outbound SMTP sessions.", multiprocess_mode="livesum")
smtp_clients = Gauge("leak_smtp_clients", "Open inbound SMTP sessions.", multiprocess_mode="livesum")
dns_queries = Counter("leak_dns_queries_total", "DNS questions asked, by result.", ["result"])
relay_calls = Counter(
    "leak_relay_calls_total",
    "What a front on another machine asked its relay, by what came of it: answered, failed, not-made.",
    ["call", "result"],
)
relay_away = Gauge(
    "leak_relay_away",
    "1 while the relay of a front on another machine does not answer; letters wait meanwhile.",
    multiprocess_mode="livemax",
)
letters_waiting = Gauge(
    "leak_letters_waiting",
    "Letters that the front has yet to hand over to its relay, also those that wait for their time or for a person; "
    "looked at every minute.",
    multiprocess_mode="livemax",
)
webhook_posts = Counter("leak_webhook_posts_total", "Posts to webhooks, by what became of them.", ["result"])
queue = Gauge(
    "leak_queue_deliveries",
    "Unfinished deliveries of the whole spool, by state; looked at every minute, the same on all nodes.",
    ["state"],
    multiprocess_mode="livemax",
)
queue_age = Gauge(
    "leak_queue_oldest_seconds",
    "Seconds since the oldest unfinished delivery was accepted, 0 = none; looked at every minute.",
    multiprocess_mode="livemax",
)
alarms = Gauge("leak_alarms", "Standing alarms, by kind.", ["kind"], multiprocess_mode="livemax")


BOUNDS: Final[Mapping[str, str]] = {
    "call": "the questions a front asks its relay: a dozen",
    "door": "the doors of this program: smtp, http, web, notice, inbound, submission",
    "kind": "the kinds of alarms: reference/alarms.md",
    "phase": "the phases of an attempt",
    "result": "a few words of this program: what became of an attempt, a DNS question, a post, a call",
    "source": "the egress sources in the settings",
    "state": "the states of a delivery",
    "status": "the enhanced codes this program answers with, some dozens",
}
"""What bounds the values of each label: never an address, a domain, a tenant or anything a stranger wrote."""


def exposition(multiprocess_folder: str | None) -> bytes:
    """The Prometheus text of this process, or of all workers when they share `multiprocess_folder`."""
    if multiprocess_folder is None:
        return generate_latest(_REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=multiprocess_folder)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
