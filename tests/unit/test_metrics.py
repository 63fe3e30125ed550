"""Metrics: their labels are bounded; the board and the alert rules that are shipped name none that does not exist."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

from relay import metrics
from relay.cli.reference_figures import series
from tests.support.programs import PROGRAMS, found

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
BOARD = PACKAGING / "grafana" / "leak.json"
RULES = PACKAGING / "prometheus" / "alerts.yml"
PROMTOOL = found("promtool")

VALUES = {
    "accepted": {"submission.door.value", "'inbound'"},
    "refused": {
        "submission.door.value",
        "answer.reply.status",
        "self.metric",
        "what.status",
        "'smtp'",
        "refusal.status",
    },
    "settled": {"settlement.state.label"},
    "attempts": {"outcome.result.value", "outcome.phase.value"},
    "source_rests": {"source"},
    "warm_up_waits": {"key.source"},
    "warm_up_overflows": {"way.source.name"},
    "dns_queries": {"result"},
    "webhook_posts": {"'taken' if answer.taken else 'refused'"},
    "queue": {"state.label"},
    "relay_calls": {"call.name", "'answered'", "'failed'", "'not-made'"},
    "alarms": {"kind"},
}
"""What labels are filled with: enumerations, codes of ours and names from the settings, as each was looked at."""


def test_labels_are_bounded() -> None:
    """A new value for a label is looked at before it is here: what strangers write must never become a series."""
    used: dict[str, set[str]] = {}
    for package in ("relay", "web"):
        for file in (ROOT / package).rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                    continue
                owner = call.func.value
                if call.func.attr == "labels" and isinstance(owner, ast.Attribute):
                    used.setdefault(owner.attr, set()).update(ast.unparse(argument) for argument in call.args)
    assert used == VALUES
    labels = {label for _, _, names in series().values() for label in names}
    assert labels == set(metrics.BOUNDS)
    assert not labels & {"domain", "site", "tenant", "recipient", "sender", "address", "stream"}


def check_query(query: str) -> None:
    """Every metric and label of a query exists, and brackets and quotes are in pairs."""
    known = series()
    bare = re.sub(r'"[^"]*"', "", query)
    for opening, closing in ("()", "[]", "{}"):
        assert bare.count(opening) == bare.count(closing), query
    names = set(re.findall(r"\bleak_[a-z_]+", query))
    assert names or "up{" in query, query
    allowed = {"le", "job", "instance"}
    for name in names:
        bucket = name.removesuffix("_bucket")
        assert name in known or (bucket in known and known[bucket][0] == "histogram"), f"{name} in {query}"
        allowed.update(known[name if name in known else bucket][2])
    grouped = {one.strip() for inside in re.findall(r"\bby \(([^)]*)\)", query) for one in inside.split(",")}
    matched = {one for inside in re.findall(r"\{([^}]*)\}", query) for one in re.findall(r"([a-z]+)\s*[=!]", inside)}
    assert grouped | matched <= allowed, query


def test_board() -> None:
    """Every panel has queries that can be answered; all metrics but the process's own are on it."""
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    for query in asked:
        check_query(query)
    shown = set(re.findall(r"\bleak_[a-z_]+?(?=_bucket|\b)", " ".join(asked)))
    assert shown == set(series())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)


def test_rules() -> None:
    """Every rule is whole: a name of its own, a query, a severity, and what to do."""
    rules = RULES.read_text(encoding="utf-8").split("      - alert: ")[1:]
    assert len(rules) >= 8
    assert len({rule.split("\n", 1)[0] for rule in rules}) == len(rules)
    for rule in rules:
        (query,) = re.findall(r"^        expr: (.*)$", rule, re.MULTILINE)
        check_query(query)
        assert re.search(r"^        labels: \{severity: (warning|critical)\}$", rule, re.MULTILINE), rule
        assert len(re.findall(r"^          (summary|description): \".+\"$", rule, re.MULTILINE)) == 2, rule
        for command in re.findall(r"leak [a-z]+ --[a-z-]+", rule):
            assert command in {"leak report --by", "leak doctor --only"}, command


@pytest.mark.skipif(PROMTOOL is None, reason=f"promtool is neither installed nor in {PROGRAMS}; .ci/run gets it")
def test_rules_by_promtool() -> None:
    assert PROMTOOL is not None
    ran = subprocess.run([PROMTOOL, "check", "rules", RULES], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
