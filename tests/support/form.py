"""Reads the forms of a page as a browser without scripts would."""

from __future__ import annotations

from html.parser import HTMLParser


class PageReader(HTMLParser):
    """Collects what a test asks of a page: its fields, its buttons, its links and its visible text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.document = document
        self.fields: dict[str, str] = {}
        self.actions: list[str] = []
        self.resources: list[str] = []
        self.language = ""
        self._words: list[str] = []
        self._area = ""
        self.feed(document)
        self.close()

    @property
    def text(self) -> str:
        """The words of the page, single spaces between."""
        return " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        match tag:
            case "html":
                self.language = values["lang"]
            case "form":
                self.actions.append(values.get("action", ""))
            case "textarea":
                self._area = values["name"]
                self.fields[self._area] = ""
            case "input" if values.get("type") not in {"radio", "checkbox"} or "checked" in values:
                self.fields[values["name"]] = values.get("value", "")
            case "link" | "img" | "script" | "iframe":
                self.resources.append(values.get("href") or values.get("src") or "inline")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            # A browser drops the line end right after the tag.
            self.fields[self._area] = self.fields[self._area].removeprefix("\n")
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[self._area] += data
        else:
            self._words.append(data)
