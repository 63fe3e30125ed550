"""Who says who they are is told so at the preview, and may send it all the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.visitor import Visitor
from web.self_naming import names_writer


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("I miss you. It's me, Julie.", "Julie"),
        ("C’est moi, Élodie, tu te souviens ?", "Élodie"),
        ("Bonjour, je m'appelle Marc et je t'aime.", "Marc"),
        ("Thank you for all of it.\n\n— Julie", "Julie"),
        ("Merci pour tout.\nJean-Luc Martin", "Jean-Luc Martin"),
        ("My name is Ann", "Ann"),
        ("Thank you.\nLove", ""),
        ("Merci.\nUn ami", ""),
        ("Tu me manques.\nBon courage", ""),
        ("It's me again, and my name is no matter.", ""),
        ("Julie", ""),
        ("Je t'aime.\nAu revoir !", ""),
        ("", ""),
    ],
)
def test_what_tells_a_name(message: str, name: str) -> None:  # SND 9
    assert names_writer(message) == name
    assert names_writer(message, name.upper()) == ""


@given(st.text(max_size=2000))
def test_any_text_is_read(message: str) -> None:
    assert names_writer(message) in message


async def test_the_preview_points_it_out_and_stops_nobody(visitor: Visitor) -> None:  # SND 9
    token = await visitor.preview(message="Thank you for all of it.\nJulie")
    for language, words in (("en", "who you are"), ("fr", "qui vous êtes")):
        _, page = await visitor.post(f"/{language}/preview", {"token": token, "action": "translate"})
        assert "“Julie”" in page.text or "« Julie »" in page.text, page.text
        assert words in page.text
    assert (await visitor.send(token)).status == 303
    _, page = await visitor.post("/en/preview", {"token": await visitor.preview()})
    assert "who you are" not in page.text
