"""The pages over HTTP: compose → preview → send → status, and what strangers may not do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.support.front import OPTIONS, running_front, with_limits
from tests.support.hand_clock import HandClock
from tests.support.visitor import LETTER, Visitor
from web.letters import hash_secret
from web.limits import PREVIEWS


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def visitor(tmp_path: Path, clock: HandClock) -> AsyncIterator[Visitor]:
    async with running_front(tmp_path, clock) as front, aiohttp.ClientSession() as session:
        yield Visitor(front, session)


async def test_a_letter_from_the_form_to_its_final_state(visitor: Visitor, clock: HandClock) -> None:
    relay = visitor.front.relay
    _, form = await visitor.get("/")
    assert form.actions == ["/en/preview"]
    response, preview = await visitor.post(form.actions[0], form.fields | LETTER)
    assert response.status == 200
    assert "A friend <letter@leak.lab.test>" in preview.text
    assert "From a friend, anonymously." in preview.text
    assert not relay.arrivals

    response = await visitor.send(preview.fields["token"])
    assert response.status == 303
    link = response.headers["Location"]
    assert re.fullmatch(r"/s/[0-9a-z]{32}", link)
    (sent,) = relay.letters.values()
    assert (sent.recipient, sent.subject) == ("ann@example.org", "From a friend, anonymously.")
    # What was shown is what was sent: every word of the text part stands in the preview, in order.
    # But the recipient's own link: whoever writes must not hold it.
    shown = re.sub(r"/r/[\w-]+", "/r/…", sent.text.replace("─" * 12, ""))
    assert " ".join(shown.split()) in preview.text

    response, status = await visitor.get(link)
    assert "On its way" in status.text
    assert response.headers["Refresh"] == "30"
    relay.settle("waiting", attempts=1, next_due=clock.now() + timedelta(minutes=4))
    assert (await visitor.get(link))[1].text == status.text, "that its provider makes it wait is told of none"
    relay.settle("delivered")
    response, status = await visitor.get(link)
    assert "It may still be in the spam folder." in status.text
    assert "Refresh" not in response.headers
    assert "ann@example.org" not in status.text


@pytest.mark.parametrize("state", ["bounced", "suppressed", "expired", "returned", "cancelled"])
async def test_all_failures_read_alike(visitor: Visitor, state: str) -> None:
    link = (await visitor.send(await visitor.preview())).headers["Location"]
    visitor.front.relay.settle(state)
    response, status = await visitor.get(link)
    assert "It could not be delivered" in status.text
    assert "Refresh" not in response.headers
    assert not re.search(r"unknown|block|refus|opened|bounce", status.text.lower())


async def test_the_page_can_stop_renewing_itself(visitor: Visitor) -> None:
    link = (await visitor.send(await visitor.preview())).headers["Location"]
    assert "Refresh" not in (await visitor.get(f"{link}?renew=no"))[0].headers


async def test_a_double_click_and_an_old_page_send_one_letter(visitor: Visitor, clock: HandClock) -> None:
    token = await visitor.preview()
    first, second = await visitor.send(token), await visitor.send(token)
    clock.move(3 * 3600)
    third = await visitor.send(token)
    assert {r.headers["Location"] for r in (first, second, third)} == {first.headers["Location"]}
    assert len(visitor.front.relay.letters) == 1


async def test_going_back_and_previewing_again_is_the_same_letter(visitor: Visitor) -> None:
    _, form = await visitor.get("/en/")
    links = []
    for message in ("Hello", "Hello", "Hello, changed"):
        _, page = await visitor.post("/en/preview", form.fields | LETTER | {"message": message})
        links.append((await visitor.send(page.fields["token"])).headers["Location"])
    assert links[0] == links[1] != links[2]
    assert len(visitor.front.relay.letters) == 2


async def test_an_expired_preview_is_shown_again_before_it_is_sent(visitor: Visitor, clock: HandClock) -> None:
    token = await visitor.preview()
    clock.move(2 * 3600 + 1)
    response, page = await visitor.post("/en/preview", {"token": token, "action": "send"})
    assert response.status == 409
    assert "more than two hours" in page.text
    assert not visitor.front.relay.arrivals
    assert (await visitor.send(page.fields["token"])).status == 303


async def test_edit_keeps_everything(visitor: Visitor) -> None:
    _, page = await visitor.post("/en/preview", LETTER | {"pseudonym": "M. X"})
    assert "M. X <letter@leak.lab.test>" in page.text  # as mail programs show it, without a header's quotes
    token = await visitor.preview(pseudonym="M. X", message='  Indented\r\n\r\n<b>"quoted"</b> &amp;')
    response, page = await visitor.post("/en/preview", {"token": token, "action": "edit"})
    assert response.status == 200
    assert page.fields | {"token": ""} == {
        "token": "",
        "to": "ann@example.org",
        "message": '  Indented\n\n<b>"quoted"</b> &amp;',
        "signature": "friend",
        "pseudonym": "M. X",
        "rules": "on",
        "leaves": "soon",
    }


async def test_leading_line_ends_and_spaces_are_no_trouble(visitor: Visitor) -> None:
    _, page = await visitor.post("/en/", LETTER | {"message": "\r\n\r\nHello"})
    assert page.fields["message"] == "Hello"


async def test_problems_are_listed_linked_and_nothing_is_lost(visitor: Visitor) -> None:
    fields = {"to": "ann@gone.test", "message": "Kept <i>", "pseudonym": "a@b"}
    response, page = await visitor.post("/en/preview", fields)
    document = await _text(visitor, "/en/preview", fields)
    assert response.status == 422
    for field, target in {
        "to": "to",
        "signature": "signature-friend",
        "pseudonym": "pseudonym",
        "rules": "rules",
    }.items():
        assert f'href="#{target}"' in document
        assert f'id="{target}"' in document
        assert f'id="{field}-fault"' in document
        assert f'aria-describedby="{field}-fault' in document
    assert page.fields["message"] == "Kept <i>"
    assert "<title>To correct" in document


@pytest.mark.parametrize(
    ("language", "told"),
    [("en", "longer than 2,000 characters, by 143"), ("fr", "dépasse de 143 la limite de 2 000 caractères")],
)
async def test_a_letter_that_is_too_long_is_told_by_how_much(visitor: Visitor, language: str, told: str) -> None:
    typed = "é" * 1000 + "\r\n" + "x" * 1142
    response, page = await visitor.post(f"/{language}/preview", LETTER | {"message": typed})
    assert response.status == 422
    assert page.text.replace("\xa0", " ").replace("\u202f", " ").count(told) == 2, "in the list, and at its field"
    assert page.fields["message"] == typed.replace("\r\n", "\n"), "nothing is lost"


async def test_who_chooses_no_signature_claims_to_be_nobody(visitor: Visitor) -> None:
    """lynx submits the first button of a choice that has none set: that would be "a friend"."""
    for fields in ({}, {"signature": "boss"}, {"signature": ""}):
        _, page = await visitor.post("/en/", fields)
        assert page.fields["signature"] == "someone"
    assert (await visitor.post("/en/", {"signature": "family"}))[1].fields["signature"] == "family"
    _, page = await visitor.post("/en/preview", LETTER | {"signature": ""})
    assert "Choose how the letter is signed" in page.text, "what comes from no form of ours chooses nothing"


async def test_one_honest_sentence_stands_above_each_button(visitor: Visitor) -> None:
    sentence = "nothing on the internet is perfectly anonymous"
    for page in ((await visitor.get("/en/"))[1], (await visitor.post("/en/preview", LETTER))[1]):
        before, found, after = page.document.partition(sentence)
        assert found
        assert 'class="main"' in after
        assert 'class="main"' not in before


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "Write the address"),
        ("nobody", "not one complete mail address"),
        ("a@b.test, c@d.test", "one address only"),
        ("a@b.test;c@d.test", "one address only"),
        ("a@b.test c@d.test", "one address only"),
        ("a@b@c.test", "not one complete mail address"),
        ("a" * 65 + "@example.org", "too long"),
        ("é" * 33 + "@example.org", "too long"),
        ("a@" + "b." * 126 + "test", "too long"),
        ("ann@gone.test", "does not exist on the internet"),
        ("ann@null.test", "takes no mail at all"),
        ("ann@bare.test", "has no mail server"),
    ],
)
async def test_addresses_that_cannot_work(visitor: Visitor, address: str, told: str) -> None:
    response, page = await visitor.post("/preview", LETTER | {"to": address})
    assert response.status == 422
    assert told in page.text


async def test_a_likely_typing_error_is_offered_and_taken(visitor: Visitor) -> None:
    relay = visitor.front.relay
    relay.suggestions = {"ann@gone.test": "ann@example.org", "ann@gmaill.test": "ann@gmail.test"}
    _, page = await visitor.post("/en/preview", LETTER | {"to": "ann@gone.test"})
    assert "Did you mean ann@example.org?" in page.text
    response, page = await visitor.post("/en/preview", page.fields | {"use": "ann@example.org"})
    assert response.status == 200
    assert "ann@example.org" in page.text

    _, page = await visitor.post("/en/preview", LETTER | {"to": "ann@gmaill.test"})
    assert "Did you mean ann@gmail.test?" in page.text
    _, page = await visitor.post("/en/preview", {"token": page.fields["token"], "use": "ann@gmail.test"})
    assert "ann@gmail.test" in page.text
    assert "ann@gmaill.test" not in page.text


async def test_a_silent_dns_is_said_and_stops_nobody(visitor: Visitor) -> None:
    visitor.front.relay.silent_domains = {"slow.test"}
    response, page = await visitor.post("/en/preview", LETTER | {"to": "ann@slow.test"})
    assert response.status == 200
    assert "We could not look up slow.test just now." in page.text


async def test_languages(visitor: Visitor) -> None:
    assert (await visitor.get("/", Accept_Language="fr-FR,fr;q=0.9"))[1].language == "fr"
    assert (await visitor.get("/en/", Accept_Language="fr"))[1].language == "en"
    _, switched = await visitor.post("/fr/", LETTER)
    assert (switched.language, switched.fields["message"]) == ("fr", "Thank you.\nFor all of it.")
    token = await visitor.preview()
    _, page = await visitor.post("/fr/preview", {"token": token, "action": "translate"})
    assert "De la part d’un·e ami·e, anonymement." in page.text
    link = (await visitor.send(page.fields["token"])).headers["Location"]
    assert [letter.sender_name for letter in visitor.front.relay.letters.values()] == ["Un·e ami·e"]
    assert (await visitor.get(link, Accept_Language="en"))[1].language == "fr"
    assert (await visitor.get(f"/en{link}"))[1].language == "en"


async def test_every_page_carries_the_headers(visitor: Visitor) -> None:  # S42, SND 7, SND 8
    link = (await visitor.send(await visitor.preview())).headers["Location"]
    private = [await visitor.get(link), await visitor.get("/s/x"), await visitor.post("/preview", LETTER)]
    public = [await visitor.get("/"), await visitor.get("/fr/")]
    for response, page in private + public:
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "Set-Cookie" not in response.headers
        assert all(resource.startswith("/static/") for resource in page.resources)
    for response, _ in private:
        assert response.headers["Cache-Control"] == "no-store"
        assert "noindex" in response.headers["X-Robots-Tag"]


async def test_an_onion_service_is_named_where_nobody_s_words_are(tmp_path: Path) -> None:  # SND 8
    onion = f"http://{'a' * 56}.onion"
    async with (
        running_front(tmp_path, options=replace(OPTIONS, onion_url=onion)) as front,
        aiohttp.ClientSession() as session,
    ):
        visitor = Visitor(front, session)
        for asked, named in {
            "/fr/": "/fr/",
            "/": "/fr/",
            "/en/privacy": "/en/privacy",
            "/privacy": "/fr/privacy",
            "/en/wall?page=1": "/en/wall?page=1",
            "/weekly": "/fr/weekly",
            "/en/notice": "/en/notice",
        }.items():
            response, _ = await visitor.get(asked, Accept_Language="fr")
            assert response.headers["Onion-Location"] == f"{onion}{named}"
        response, _ = await visitor.get("/en/s/none")
        assert "Onion-Location" not in response.headers


async def test_the_first_page_fits_into_the_first_window(visitor: Visitor) -> None:
    response, page = await visitor.get("/", Accept_Encoding="gzip")
    answers = [response, *[(await visitor.get(path, Accept_Encoding="gzip"))[0] for path in set(page.resources)]]
    assert len(answers) == 4
    assert all(answer.headers["Content-Encoding"] == "gzip" for answer in answers)
    assert all("immutable" in answer.headers["Cache-Control"] for answer in answers[1:])
    heads = sum(len(name) + len(value) + 4 for answer in answers for name, value in answer.headers.items())
    assert heads + sum(int(answer.headers["Content-Length"]) for answer in answers) <= 14_000


async def test_the_manifest_names_what_is_ours(visitor: Visitor) -> None:
    response, page = await visitor.get("/")
    assert "manifest-src 'self'" in response.headers["Content-Security-Policy"]
    (path,) = {one for one in page.resources if one.endswith(".webmanifest")}
    async with aiohttp.ClientSession(visitor.front.url) as session, session.get(path) as answer:
        assert answer.content_type == "application/manifest+json"
        manifest = await answer.json(content_type=None)
        assert (manifest["name"], manifest["start_url"]) == ("Leak", "/")
        async with session.get(manifest["icons"][0]["src"]) as icon:
            assert (icon.status, icon.content_type) == (200, "image/svg+xml")


async def test_no_link_is_dead(visitor: Visitor) -> None:  # SND 8
    link = (await visitor.send(await visitor.preview())).headers["Location"]
    for path in ("/", link, "/nothing"):
        async with aiohttp.ClientSession() as session, session.get(visitor.front.url + path) as response:
            document = await response.text()
        for target in re.findall(r'href="(/[^"]*)"', document):
            assert (await visitor.get(target))[0].status == 200, target


@pytest.mark.parametrize("name", ["to", "signature", "pseudonym", "message"])
@pytest.mark.parametrize(
    "payload", ['"><script>alert(1)</script>', "</textarea><img src=x onerror=alert(1)>", "{{7*7}}"]
)
async def test_markup_in_any_field_stays_text(visitor: Visitor, name: str, payload: str) -> None:  # S42
    for fields in (LETTER | {name: payload}, {name: payload}):
        document = await _text(visitor, "/en/preview", fields)
        assert "<script" not in document
        assert "<img src=x" not in document


@pytest.mark.parametrize("name", ["to", "signature", "pseudonym"])
async def test_no_header_can_be_injected(visitor: Visitor, name: str) -> None:  # S08
    for line_end in ("\r\n", "\n", "\r", "\0", "\u2028"):
        response, _ = await visitor.post("/preview", LETTER | {name: f"ann@example.org{line_end}Bcc: eve@example.org"})
        assert response.status == 422
    assert not visitor.front.relay.arrivals


async def test_a_foreign_site_sends_nothing(visitor: Visitor) -> None:  # S41
    token = await visitor.preview()
    for site in ("cross-site", "same-site"):
        response, page = await visitor.post("/en/preview", {"token": token, "action": "send"}, Sec_Fetch_Site=site)
        assert response.status == 403
        assert "did not come from our own page" in page.text
    for forged in ("", "x", token[:-2] + "AA", token.replace(".", "")):
        assert (await visitor.send(forged)).status == 403
    assert (await visitor.get(f"/en/preview?action=send&token={token}"))[0].status == 303
    assert not visitor.front.relay.arrivals
    assert (await visitor.send(token, Sec_Fetch_Site="same-origin", Origin="null")).status == 303


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://leak.lab.test.evil.example",
        "http://leak.lab.test:81",
        "http://evil.example@leak.lab.test.evil",
        "file://",
        "nonsense",
        "http://[",
        "",
    ],
)
async def test_a_foreign_origin_sends_nothing(visitor: Visitor, origin: str) -> None:  # S41
    token = await visitor.preview()
    for path in ("/en/preview", "/fr/"):
        response, page = await visitor.post(path, LETTER | {"token": token, "action": "send"}, Origin=origin)
        assert response.status == 403, page.text
    assert not visitor.front.relay.arrivals


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://leak.lab.test"},
        {"Origin": "http://leak.lab.test:80"},
        {"Origin": "https://other.lab.test", "Host": "other.lab.test"},
        {"Origin": "http://other.lab.test:8080", "Host": "OTHER.lab.test:8080"},
        {"Origin": "http://[::1]:8025", "Host": "[::1]:8025"},
    ],
)
async def test_our_own_origins_send(visitor: Visitor, headers: dict[str, str]) -> None:  # S41
    token = await visitor.preview()
    assert (await visitor.send(token, **headers)).status == 303


async def test_bodies_that_are_no_form(visitor: Visitor) -> None:
    kind = "application/x-www-form-urlencoded"
    bodies = [
        (b"x" * 300_000, kind),
        (b"message=%ff", kind),
        (b"\xff", kind),
        (b"&".join(b"a%d=1" % n for n in range(30)), kind),
        (b"{}", "application/json"),
        (b"", "text/plain"),
    ]
    async with aiohttp.ClientSession() as session:
        for body, content_type in bodies:
            async with session.post(
                f"{visitor.front.url}/preview", data=body, headers={"Content-Type": content_type}
            ) as response:
                assert response.status == 400
                assert "Nothing was sent" in await response.text()


async def test_wrong_paths_methods_and_secrets(visitor: Visitor) -> None:
    for path in ("/nothing", "/s/", "/s/" + "0" * 32, "/s/" + "x" * 3000, "/static/0/leak.css", "/de/"):
        assert (await visitor.get(path))[0].status == 404, path
    response, _ = await visitor.post("/robots.txt", {})
    assert response.status == 405
    assert "GET" in response.headers["Allow"]
    assert (await visitor.get("/en"))[0].status == 303
    assert (await visitor.get("/api/v1/messages"))[0].content_type == "text/plain"


async def test_a_store_that_fails_keeps_the_visitors_text(visitor: Visitor) -> None:
    token = await visitor.preview()
    visitor.front.database.away = True
    response, page = await visitor.post("/en/preview", {"token": token, "action": "send"})
    assert response.status == 503
    assert response.headers["Retry-After"] == "60"
    assert "Nothing was sent" in page.text
    assert "For all of it." in page.text
    assert (await visitor.get("/s/" + "0" * 32))[0].status == 503


async def test_a_relay_that_is_away_does_not_lose_the_letter(visitor: Visitor, clock: HandClock) -> None:
    relay = visitor.front.relay
    token = await visitor.preview()
    relay.unavailable = True
    response = await visitor.send(token)
    link = response.headers["Location"]
    assert "cannot tell just now" in (await visitor.get(link))[1].text
    relay.unavailable = False
    clock.move(6)
    secret_hash = hash_secret(link.removeprefix("/s/"))
    async with asyncio.timeout(20):
        while (record := await visitor.front.store.find(secret_hash)) is None or record.message_id is None:
            await asyncio.sleep(0.01)
    assert len(relay.letters) == 1
    relay.unavailable = True
    assert "cannot tell just now" in (await visitor.get(link))[1].text


async def test_limits_know_the_visitor_by_the_trusted_proxy_only(tmp_path: Path, clock: HandClock) -> None:  # S17, S50
    async with running_front(tmp_path, clock, with_limits()) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        answers = []
        for n in range(7):
            clock.move(60)
            token = await visitor.preview(to=f"r{n}@example.org")
            answers.append(await visitor.send(token, X_Forwarded_For=f"203.0.113.{n}"))
        assert [answer.status for answer in answers] == [303] * 5 + [429] * 2
        assert int(answers[-1].headers["Retry-After"]) > 0


async def test_no_letter_goes_out_whose_sender_a_header_disputes(tmp_path: Path) -> None:  # S50, SND 4
    options = replace(OPTIONS, trusted_proxies=("127.0.0.1/32",))
    async with running_front(tmp_path, options=options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        token = await visitor.preview()
        smuggled = {"Forwarded": "for=198.51.100.66", "X_Forwarded_For": "203.0.113.9"}
        response, page = await visitor.post("/en/preview", {"token": token, "action": "send"}, **smuggled)
        assert (response.status, "Your connection cannot be told" in page.text) == (400, True)
        assert not front.relay.letters
        assert (await visitor.send(token, X_Forwarded_For="203.0.113.9")).status == 303


async def test_nobody_searches_for_addresses_with_the_form(tmp_path: Path) -> None:  # S50
    async with running_front(tmp_path, options=with_limits()) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        for n in range(PREVIEWS.count):
            response, _ = await visitor.post("/en/preview", {"to": f"a@s{n}.test"}, X_Forwarded_For=f"203.0.113.{n}")
            assert response.status == 422
        response, page = await visitor.post("/en/preview", LETTER)
        assert response.status == 429
        assert int(response.headers["Retry-After"]) > 0
        assert "Wait a few minutes" in page.text
        assert page.fields["message"] == "Thank you.\nFor all of it."


async def test_secure_addresses_ask_for_https(tmp_path: Path) -> None:
    options = replace(OPTIONS, base_url="https://leak.lab.test")
    async with running_front(tmp_path, options=options) as front, aiohttp.ClientSession() as session:
        response, _ = await Visitor(front, session).get("/")
        assert "max-age" in response.headers["Strict-Transport-Security"]


async def _text(visitor: Visitor, path: str, fields: dict[str, str]) -> str:
    async with aiohttp.ClientSession() as session, session.post(visitor.front.url + path, data=fields) as response:
        return await response.text()
