"""What strangers report is summed at a cost that grows with it, and no faster."""

from __future__ import annotations

import json
from time import process_time

from relay.admin.heard import Heard, by_domain, by_source, folded
from relay.report.aggregate_reading import MAX_ROWS, DmarcReport, SourceCount, read_tls


def test_a_report_that_names_fifty_thousand_domains_is_summed_in_one_pass() -> None:  # S28
    summary = {"total-successful-session-count": 2, "total-failure-session-count": 1}
    policies = [{"policy": {"policy-domain": f"d{n}.example"}, "summary": summary} for n in range(MAX_ROWS - 1)]
    policies.append({"policy": {"policy-domain": "d0.example"}, "summary": summary})
    report = read_tls(json.dumps({"organization-name": "X", "policies": policies}).encode())
    began = process_time()
    rows = by_domain(Heard(tls=[*report, *report]))
    assert process_time() - began < 5, "a pass for each domain takes many minutes"
    assert len(rows) == MAX_ROWS - 1
    assert rows[0] == {"domain": "d0.example", "sessions": 12, "failed": 4, "reporters": 1}


def test_reporters_of_a_source_are_counted_once() -> None:
    ours = [
        DmarcReport("a.example", who, 0, 1, (SourceCount("192.0.2.1", 3, 1), SourceCount("192.0.2.2", 0, 1)))
        for who in ("X", "Y", "X")
    ]
    first, second = by_source(Heard(dmarc=ours))
    assert (first["source"], first["aligned"], first["unaligned"], first["reporters"]) == ("192.0.2.1", 9, 3, 2)
    assert (second["aligned"], second["unaligned"], second["reporters"]) == (0, 3, 2)


def test_sources_of_one_domain_leave_rows_to_the_others() -> None:  # S28
    many = [{"domain": "a.example", "source": f"192.0.2.{n}"} for n in range(200)]
    few = [{"domain": name, "source": "192.0.2.1"} for name in ("b.example", "c.example")]
    told = folded([*many, *few], 30, 5)
    assert [row["domain"] for row in told.rows] == ["a.example"] * 10 + ["b.example", "c.example"]
    assert (told.sources, told.domains) == (190, 0)
    everywhere = [{"domain": f"d{n:03}.example", "source": f"192.0.2.{k}"} for n in range(20) for k in range(9)]
    told = folded(everywhere, 30, 5)
    assert (len(told.rows), told.sources, told.domains) == (30, 150, 14)
