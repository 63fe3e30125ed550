"""The inbox: its store, its Mailpit API, and its pages under hostile mail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiohttp
import pytest

from relay.clock import SystemClock
from relay.ids import SeededEntropy
from relay.lab.inbox import Inbox
from relay.lab.lab import Lab
from relay.lab.mailbox import Client, Posting
from relay.lab.reading import read, summarise

SCRIPT = "<script>document.title='owned'</script>"


def posting(content: bytes, *recipients: str) -> Posting:
    return Posting(
        "mx.inbox.lab.test",
        Client("127.0.0.1", "mail.leak.lab.test"),
        "letters@leak.lab.test",
        recipients or ("ok@inbox.lab.test",),
        content,
    )


def letter(subject: str = "Une lettre à toi", text: str = "bonjour", page: str = "") -> bytes:
    message = EmailMessage()
    message["From"] = "Léa <lea@leak.lab.test>"
    message["To"] = "Ok <ok@inbox.lab.test>"
    message["Subject"] = subject
    message["Message-ID"] = "<one@leak.lab.test>"
    message["Date"] = "Sat, 21 Nov 2026 10:00:00 +0100"
    message.set_content(text)
    if page:
        message.add_alternative(page, subtype="html")
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def attached(name: str, kind: str, data: bytes) -> bytes:
    message = EmailMessage()
    message["From"] = "a@leak.lab.test"
    message.set_content("see below")
    main, _, sub = kind.partition("/")
    message.add_attachment(data, maintype=main, subtype=sub, filename=name)
    return message.as_bytes().replace(b"\n", b"\r\n")


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(SystemClock(), SeededEntropy(1), max_mails=5, max_octets=10_000)


@pytest.fixture
async def http(lab: Lab) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(lab.inbox_url, timeout=aiohttp.ClientTimeout(10)) as session:
        yield session


def test_the_oldest_make_room(inbox: Inbox) -> None:
    names = [inbox.add(posting(b"Subject: %d\r\n\r\n" % i)) for i in range(8)]
    assert (len(inbox), inbox.dropped) == (5, 3)
    assert inbox.get(names[0]) is None
    newest = inbox.get("latest")
    assert newest is not None
    assert newest.id == names[-1]
    inbox.add(posting(b"x" * 9_900))
    assert len(inbox) == 1
    assert inbox.octets <= 10_000


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("bonjour", True),
        ("BONJOUR lettre", True),
        ("subject:lettre", True),
        ('subject:"lettre à"', True),
        ('"lettre toi"', False),
        ("from:léa", True),
        ("from:lea@leak", True),
        ("to:ok@inbox", True),
        ("to:hidden@", True),
        ("bcc:hidden@", True),
        ("to:nobody", False),
        ("message-id:<one@leak.lab.test>", True),
        ("is:unread", True),
        ("is:read", False),
        ("has:attachment", False),
        ("bonjour missing", False),
    ],
)
def test_search(inbox: Inbox, query: str, found: bool) -> None:
    inbox.add(posting(letter(), "ok@inbox.lab.test", "hidden@inbox.lab.test"))
    assert bool(inbox.search(query)) is found


async def test_messages_in_mailpits_shape(lab: Lab, http: aiohttp.ClientSession) -> None:
    first = lab.inbox.add(posting(letter()))
    second = lab.inbox.add(posting(letter("two", page="<p>hi</p>"), "x@inbox.lab.test"))
    async with http.get("/api/v1/messages", params={"start": "1", "limit": "1"}) as response:
        listed = await response.json()
    assert {key: value for key, value in listed.items() if key != "messages"} == {
        "total": 2, "unread": 2, "count": 1, "messages_count": 2, "messages_unread": 2, "start": 1, "tags": [],
    }  # fmt: skip
    summary = listed["messages"][0]
    assert summary["ID"] == first
    assert summary["From"] == {"Name": "Léa", "Address": "lea@leak.lab.test"}
    assert summary["To"] == [{"Name": "Ok", "Address": "ok@inbox.lab.test"}]
    assert (summary["Subject"], summary["Snippet"], summary["Read"]) == ("Une lettre à toi", "bonjour", False)
    assert summary["MessageID"] == "one@leak.lab.test"
    async with http.get(f"/api/v1/message/{second}") as response:
        message = await response.json()
    assert (message["Text"].strip(), message["HTML"].strip()) == ("bonjour", "<p>hi</p>")
    assert message["Date"] == "2026-11-21T09:00:00.000Z"
    assert message["Bcc"] == [{"Name": "", "Address": "x@inbox.lab.test"}]
    assert (message["ReturnPath"], message["Attachments"], message["Inline"]) == ("letters@leak.lab.test", [], [])
    async with http.get("/api/v1/search", params={"query": "is:unread"}) as response:
        assert [m["ID"] for m in (await response.json())["messages"]] == [first]


async def test_the_rest_of_the_api(lab: Lab, http: aiohttp.ClientSession) -> None:
    name = lab.inbox.add(posting(letter()))
    async with http.get("/api/v1/message/latest/raw") as response:
        assert response.content_type == "text/plain"
        assert await response.read() == letter()
    async with http.get(f"/api/v1/message/{name}/headers") as response:
        fields = await response.json()
    assert fields["Message-Id"] == ["<one@leak.lab.test>"]
    async with http.get(f"/api/v1/message/{name}/verdict") as response:
        assert (await response.json())["spf"]["result"] == "pass"
    async with http.get(f"/api/v1/message/{name}/transcript") as response:
        assert (await response.json())["host"] == "mx.inbox.lab.test"
    async with http.get("/api/v1/hosts") as response:
        hosts = {host["name"]: host for host in await response.json()}
    assert hosts["inbox.lab.test"]["addresses"] == [f"127.0.1.1:{lab.smtp_port}"]
    assert "behaviour" in hosts["null-mx.lab.test"]
    for path in (
        "/api/v1/message/nothing",
        "/api/v1/message/nothing/raw",
        "/message/nothing",
        f"/message/{name}/nothing",
    ):
        async with http.get(path) as response:
            assert response.status == 404
    async with http.get("/api/v1/search") as response:
        assert response.status == 400


async def test_delete_some_and_all(lab: Lab, http: aiohttp.ClientSession) -> None:
    names = [lab.inbox.add(posting(letter())) for _ in range(3)]
    async with http.delete("/api/v1/messages", json={"IDs": names[:1]}) as response:
        assert await response.text() == "ok"
    assert len(lab.inbox) == 2
    for wrong in ("{", '{"IDs": [1]}', "[" * 5000):
        async with http.delete("/api/v1/messages", data=wrong) as response:
            assert response.status == 400
    async with http.delete("/api/v1/messages") as response:
        assert response.status == 200
    assert len(lab.inbox) == 0


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8025", "127.0.0.1", ""])
async def test_foreign_host_names_are_refused(http: aiohttp.ClientSession, host: str) -> None:  # S40
    async with http.get("/api/v1/messages", headers={"Host": host}) as response:
        assert response.status in (400, 421)


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_foreign_pages_cannot_delete(lab: Lab, http: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    lab.inbox.add(posting(letter()))
    async with http.post("/clear", headers=headers) as response:
        assert response.status == 403
    assert len(lab.inbox) == 1
    async with http.post("/clear", headers={"Origin": lab.inbox_url}, allow_redirects=False) as response:
        assert response.status == 303
    assert len(lab.inbox) == 0


async def test_a_browser_tells_whose_page_a_change_comes_from(lab: Lab, http: aiohttp.ClientSession) -> None:
    async with http.get("/") as response:  # with `no-referrer` it says `Origin: null` of our own pages too (Fetch 3.2)
        assert response.headers["Referrer-Policy"] == "same-origin"


PAGES = ("/", "/hosts", "/message/{}/text", "/message/{}/html", "/message/{}/headers", "/message/{}/raw",
         "/message/{}/transcript", "/message/{}/authentication", "/message/{}/frame")  # fmt: skip


async def test_no_field_of_a_mail_runs_anything(lab: Lab, http: aiohttp.ClientSession) -> None:  # S42
    hostile = (
        f'From: "{SCRIPT}" <a@leak.lab.test>\r\nTo: {SCRIPT} <b@x.test>\r\nSubject: {SCRIPT}\r\n'
        f"Message-ID: {SCRIPT}\r\nDKIM-Signature: v=1; d={SCRIPT}; s={SCRIPT}\r\n"
        f"{SCRIPT}: {SCRIPT}\r\nContent-Type: text/html\r\n\r\n"
        f"{SCRIPT}<img src=http://x.test/t.png onerror=alert(1)><meta http-equiv=refresh content='0;url=http://x.test'>"
        "<a href='javascript:alert(1)'>x</a><form action=/clear method=post><button>b</button></form>"
        "<svg onload=alert(1)>"
    ).encode()
    name = lab.inbox.add(posting(hostile, f"{SCRIPT}@inbox.lab.test"))
    for path in PAGES:
        async with http.get(path.format(name), params={"query": SCRIPT} if path == "/" else None) as response:
            page = await response.text()
            assert response.status == 200
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "<script" not in page.lower()
        if path.endswith("frame"):
            assert policy.startswith("sandbox;")
            for word in ("onerror", "javascript:", "<meta http-equiv", "<form", "onload"):
                assert word not in page


async def test_html_is_framed_in_a_sandbox(lab: Lab, http: aiohttp.ClientSession) -> None:  # S42
    name = lab.inbox.add(posting(letter(page="<p style='color:red'>hi</p>")))
    async with http.get(f"/message/{name}") as response:
        assert response.url.path == f"/message/{name}/html"
        assert f'src="/message/{name}/frame" sandbox=""' in await response.text()
    async with http.get(f"/message/{name}/frame") as response:
        assert 'style="color:red"' in await response.text()


async def test_attachments_are_only_ever_files(lab: Lab, http: aiohttp.ClientSession) -> None:  # S42
    name = lab.inbox.add(posting(attached('x".html', "text/html", SCRIPT.encode())))
    async with http.get(f"/api/v1/message/{name}") as response:
        part = (await response.json())["Attachments"][0]
    assert (part["ContentType"], part["Size"]) == ("text/html", len(SCRIPT))
    async with http.get(f"/api/v1/message/{name}/part/{part['PartID']}") as response:
        assert response.content_type == "application/octet-stream"
        assert response.headers["Content-Disposition"] == 'attachment; filename="x%22.html"'
        assert await response.text() == SCRIPT


def nested(depth: int) -> bytes:
    opening = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(depth))
    return opening + b"Content-Type: text/plain\r\n\r\nend\r\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"\xff" * 100_000,
        b"x: " + b"=?utf-8?q?" * 50_000 + b"\r\n\r\n",
        b"Subject: =?x-nonsense?q?=ff?= =?utf-8?b?!!!?=\r\nDate: Sat, 99 Zzz 99999 99:99\r\n\r\n",
        b"To: " + b"(" * 20_000 + b"\r\n\r\n",
        b"From: " + b'"\\' * 9_000 + b"\r\n\r\n",
        b"A: b\r\n" * 50_000,
        b"Content-Type: text/plain; charset=nonsense\r\n\r\n\xff\xfe",
        b"Content-Type: text/html; charset*=utf-8''%ff%fe%00\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        nested(20),
        nested(2000),
        b"Content-Type: message/rfc822\r\n\r\n" * 400,
        b"Content-Type: text/html\r\n\r\n" + b"<div>" * 200_000,
        b"Content-Type: text/html\r\n\r\n" + b"<style" * 100_000,
    ],
    ids=range(16),
)
async def test_any_mail_can_be_read_and_shown(lab: Lab, http: aiohttp.ClientSession, content: bytes) -> None:  # S13
    read(content)
    summarise(content, ["a@x.test"])
    name = lab.inbox.add(posting(content))
    for path in (*PAGES, "/api/v1/messages", "/api/v1/message/{}", "/api/v1/message/{}/headers"):
        async with http.get(path.format(name)) as response:
            assert response.status == 200, path


async def test_two_headers_beside_each_other(lab: Lab, http: aiohttp.ClientSession) -> None:  # SND 1
    names = [
        lab.inbox.add(posting(f"From: a@x.test\r\nMessage-ID: <{token}@x.test>\r\n\r\nHi.\r\n".encode()))
        for token in ("one", SCRIPT)
    ]
    async with http.get(f"/message/{names[0]}/headers") as response:
        page = await response.text()
    assert f'<option value="{names[1]}"' in page
    assert f'<option value="{names[0]}"' not in page
    assert "<mark>" not in page
    async with http.get(f"/message/{names[0]}/headers", params={"with": names[1]}) as response:
        page = await response.text()
    assert "1 of 2 fields are the same in both mails" in page
    assert "&lt;<mark>one</mark>@x.test&gt;" in page
    assert SCRIPT not in page
    async with http.get(f"/message/{names[0]}/headers", params={"with": "gone"}) as response:
        assert (response.status, "<mark>" in await response.text()) == (200, False)


async def test_the_list_pages_searches_and_follows(lab: Lab, http: aiohttp.ClientSession) -> None:
    for i in range(51):
        lab.inbox.add(posting(letter(f"number {i}")))
    async with http.get("/", params={"page": "2", "live": "1"}) as response:
        page = await response.text()
        assert response.headers["Refresh"] == "5"
    assert "Page 2 of 2" in page
    assert "number 0" in page
    assert "number 1<" not in page
    async with http.get("/", params={"query": '"number 7"', "page": "nonsense"}) as response:
        assert (await response.text()).count('class="new"') == 1
    async with http.get("/lab.css") as response:
        assert response.content_type == "text/css"


def test_reading_finds_text_page_and_attachment(tmp_path: Path) -> None:
    reading = read(letter(page="<p>hi</p>"))
    assert (reading.text.strip(), reading.html.strip(), reading.attachments) == ("bonjour", "<p>hi</p>", ())
    assert [a.file_name for a in read(attached("été.txt", "text/plain", b"x")).attachments] == ["été.txt"]
