"""`leak check --explain NAME`: what the shaping rules say of a domain or an MX host, and which rule says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.cli.context import run_async
from relay.cli.output import say, say_json

if TYPE_CHECKING:
    from relay.policy.shaping import ReplyRule
    from relay.settings import Settings


def explain_shaping(settings: Settings, name: str, *, as_json: bool) -> None:
    """Print the merged rules. Raises ConfigurationError if they cannot be read."""
    from relay.policy.shaping_file import LIMITS, load_shaping

    hosts = run_async(_exchangers(settings, name))
    shaping = load_shaping(settings.folder).shaping(hosts or [name], name)
    limits = {
        key: {"value": getattr(shaping.limits, limit), "from": shaping.origin.get(limit, "default")}
        for key, limit in LIMITS.items()
    }
    if as_json:
        replies = [_shown(rule) for rule in shaping.replies]
        say_json({"name": name, "exchangers": hosts, "limits": limits, "replies": replies})
        return
    asked = f"exchangers {', '.join(hosts)}" if hosts else "no MX record was found: by this name alone"
    say(f"{name}: on each path, all workers and nodes together ({asked})")
    for key, limit in limits.items():
        value = "no limit" if limit["value"] is None else f"{limit['value']:g}"
        say(f"  {key:<25} {value:<10} ({limit['from']})")
    for rule in shaping.replies:
        shown = _shown(rule)
        say(f"  {rule.id}: after {rule.count} × {rule.pattern.pattern} within {rule.within}: {shown['does']}")


async def _exchangers(settings: Settings, name: str) -> list[str]:
    """The domain's exchangers, as the configured resolver knows them; none for a host, and while the DNS is silent."""
    from relay.clock import SystemClock
    from relay.making import make_resolver

    resolver = make_resolver(settings, SystemClock())
    try:
        answer = await resolver.ask(name, "MX")
    finally:
        await resolver.close()
    ranked = sorted((int(preference), host) for preference, _, host in (one.partition(" ") for one in answer.records))
    return [host for _, host in ranked if host not in ("", ".")]


def _shown(rule: ReplyRule) -> dict[str, Any]:
    does = str(rule.action) if rule.action == "alarm" else f"{rule.action} for {rule.lasts}"
    if rule.connections is not None:
        does += f", {rule.connections} connections"
    if rule.messages is not None:
        does += f", {rule.messages:g} messages a minute"
    if rule.alarm and rule.action != "alarm":
        does += ", and an alarm"
    return {"id": rule.id, "regex": rule.pattern.pattern, "count": rule.count, "within": str(rule.within), "does": does}
