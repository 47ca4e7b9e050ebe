"""What a test sees of a page: its tags and its text, as a browser parses them."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """A parsed page.

    Attributes:
        tags: name and attributes of every element, in order.
        texts: pieces of text outside `style` and `script`.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    @property
    def addresses(self) -> list[str]:
        """Everything that a browser would fetch, or go to."""
        return [
            value or "" for _, attrs in self.tags for name, value in attrs.items() if name in ("src", "href")
        ]
