"""What a page always says stands in its compiled template, in its language, escaped as a value would be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from jinja2 import UndefinedError

from web.catalogue import Language, load_words
from web.render import make_templates
from web.said import saying

WORDS = load_words()
PAGE = 'a {{ t("site.name") }} {{- t("site.skip") }} {{ t.language }} {% if x %}{{ t("site.switch") }}{% endif %} b'


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("x", [True, False])
def test_what_needs_no_value_is_said_without_being_asked_for(language: Language, x: bool) -> None:
    words = WORDS[language]
    asked = make_templates().from_string(PAGE).render(t=words, x=x)
    assert saying(make_templates(), words).from_string(PAGE).render(x=x) == asked


def test_what_is_said_is_escaped_once() -> None:
    words = replace(WORDS[Language.EN], texts={"key": 'Jack & "Jill" <b>'})
    said = saying(make_templates(), words).from_string('{{ t("key") }}').render()
    assert said == "Jack &amp; &#34;Jill&#34; &lt;b&gt;"


@pytest.mark.parametrize(
    "value",
    ['{{ t("site." ~ name) }}', '{{ t("time.minutes", count=3) }}', "{{ t.number(3) }}", "{{ t.language.other }}"],
)
def test_what_needs_a_value_is_asked_for(value: str) -> None:
    words = WORDS[Language.FR]
    template = saying(make_templates(), words).from_string(value)
    with pytest.raises(UndefinedError):
        template.render(name="name")
    assert template.render(t=words, name="name") == make_templates().from_string(value).render(t=words, name="name")


def test_both_languages_keep_their_own_templates() -> None:
    templates = make_templates()
    english, french = (saying(templates, WORDS[language]) for language in Language)
    assert english.get_template("notice.html") is not french.get_template("notice.html")
    assert english.get_template("notice.html") is english.get_template("notice.html")
