"""What can be done on the operator's pages: with a preview, a reason and a proof of the session, under a name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.admin import acting
from relay.policy.state import State
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Verb
from tests.contract.test_learning import Bench, bench
from tests.support.operator import Operator
from tests.unit.admin.test_pages import ONE_DATABASE, ann, waits

__all__ = ["ann", "bench"]


async def act(ann: Operator, path: str, reason: str = "they are back", **changed: str) -> tuple[int, str]:
    """Open a preview, fill in the reason, press the button: the status and the words of the answer."""
    page = await ann.get(path)
    response, page = await ann.ask("POST", "/admin/act", page.fields | {"reason": reason} | changed)
    return response.status, page.text


async def test_mail_is_held_and_released_and_retried_by_domain_and_by_message(bench: Bench, ann: Operator) -> None:
    one, two = await waits(bench, "a@b.example"), await waits(bench, "c@b.example")
    other = await waits(bench, "d@c.example")
    assert (
        'href="/admin/act?deed=hold&amp;domain=b.example"'
        in (await ann.get("/admin/queue/domain?domain=b.example")).document
    )
    page = await ann.get("/admin/act?deed=hold&domain=b.example")
    assert "2 deliveries to b.example would be held." in page.text
    assert await bench.spool.count(QueueFilter(states=(State.HELD,))) == 0, "a preview changes nothing"
    status, said = await act(ann, "/admin/act?deed=hold&domain=b.example", "they\u202e are down")
    assert (status, "hold: 2 deliveries; to take it back: leak queue undo" in said) == (200, True)
    view = await bench.spool.message(one)
    assert view is not None
    assert view.events[-1].detail["reason"] == "they are down (by ann)"
    assert "they are down (by ann)" in (await ann.get(f"/admin/message/{two}")).text
    assert f"/admin/act?deed=release&amp;message={one}" in (await ann.get(f"/admin/message/{one}")).document
    await act(ann, f"/admin/act?deed=release&message={one}")
    assert await bench.spool.count(QueueFilter(states=(State.HELD,))) == 1
    await act(ann, f"/admin/act?deed=retry&message={other}")
    view = await bench.spool.message(other)
    assert view is not None
    assert view.deliveries[0].due == bench.clock.now()
    page = await ann.get(f"/admin/act?deed=release&message={other}")
    assert "nothing matches" in page.text
    assert "reason" not in page.fields


async def test_a_domain_is_suspended_and_resumed(bench: Bench, ann: Operator) -> None:
    await waits(bench, "a@b.example")
    status, said = await act(ann, "/admin/act?deed=suspend&domain=b.example", "they are down", span="4h")
    (suspension,) = await bench.spool.suspensions()
    assert (suspension.domain, suspension.reason) == ("b.example", "they are down (by ann)")
    assert suspension.until == bench.clock.now() + timedelta(hours=4)
    assert (status, f"leak queue resume {suspension.id}" in said) == (200, True)
    path = f"/admin/act?deed=resume&suspension={suspension.id}"
    assert path.replace("&", "&amp;") in (await ann.get("/admin/queue")).document
    assert "b.example: they are down (by ann)" in (await ann.get(path)).text
    assert "resumed" in (await act(ann, path))[1]
    assert await bench.spool.suspensions() == []
    assert f"suspension {suspension.id} has ended" in (await ann.get(path)).text


@ONE_DATABASE
async def test_a_domain_is_taken_as_the_queue_knows_it_and_nothing_else(bench: Bench, ann: Operator) -> None:
    await waits(bench, "a@b.example")
    await waits(bench, "a@xn--bcher-kva.example")
    for typed, known in (("B.example.", "b.example"), ("bücher.example", "xn--bcher-kva.example")):
        await act(ann, f"/admin/act?deed=suspend&domain={typed}", span="4h")
        assert (await bench.spool.suspensions())[-1].domain == known
        assert "1 waiting" in (await ann.get(f"/admin/queue/domain?domain={typed}")).text
    for nonsense in ("", "no%20domain", "a@b.example", "%22%3E"):
        assert (await ann.ask("GET", f"/admin/queue/domain?domain={nonsense}"))[0].status == 404, nonsense
        assert (await ann.ask("GET", f"/admin/act?deed=suspend&domain={nonsense}"))[0].status == 404, nonsense


@ONE_DATABASE
async def test_nothing_is_done_without_a_reason_a_proof_or_from_elsewhere(bench: Bench, ann: Operator) -> None:  # S41
    message = await waits(bench, "a@b.example")
    fields = (await ann.get(f"/admin/act?deed=hold&message={message}")).fields | {"reason": "r"}
    for changed in ({"proof": ""}, {"proof": fields["proof"] + "a"}):
        assert (await ann.ask("POST", "/admin/act", fields | changed))[0].status == 403
    for headers in ({"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}, {"Host": "evil.example"}):
        assert (await ann.ask("POST", "/admin/act", fields, **headers))[0].status == 403
    status, said = await act(ann, f"/admin/act?deed=hold&message={message}", reason=" \u200e")
    assert (status, "Say why" in said) == (422, True)
    for wrong in ({"deed": "bounce"}, {"deed": ""}, {"message": "x"}, {"message": ""}, {"deed": "resume"}):
        assert (await ann.ask("POST", "/admin/act", fields | wrong))[0].status == 404, wrong
        asked = "&".join(f"{name}={value}" for name, value in (fields | wrong).items())
        assert (await ann.ask("GET", f"/admin/act?{asked}"))[0].status == 404, wrong
    assert await bench.spool.count(QueueFilter(states=(State.HELD,))) == 0
    assert (await ann.ask("POST", "/admin/act", fields))[0].status == 200
    assert await bench.spool.count(QueueFilter(states=(State.HELD,))) == 1


@ONE_DATABASE
async def test_a_page_changes_no_million(bench: Bench, ann: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        await waits(bench, f"a{number}@b.example")
    fields = (await ann.get("/admin/act?deed=hold&domain=b.example")).fields | {"reason": "r"}
    monkeypatch.setattr(acting, "MOST", 2)
    page = await ann.get("/admin/act?deed=hold&domain=b.example")
    assert "That is too much for a page: leak queue hold --domain b.example" in page.text
    assert "reason" not in page.fields
    response, page = await ann.ask("POST", "/admin/act", fields)
    assert "too much for a page" in page.text
    assert response.status == 422
    assert await bench.spool.count(QueueFilter(states=(State.HELD,))) == 0


def test_every_verb_says_what_it_would_do() -> None:
    assert {verb: verb.would for verb in Verb}[Verb.RETRY] == "would be due now"
    assert all(verb.would.startswith("would be ") for verb in Verb)
