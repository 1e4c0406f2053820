"""Dead links in built pages: a file that is not there, or a place in one that it does not have."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINKS = {"a": "href", "img": "src", "link": "href", "script": "src"}


class Page(HTMLParser):
    """The links of a page and the places in it that a link can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag leads to, and its own name."""
        found = dict(attrs)
        self.places.update(filter(None, (found.get("id"), found.get("name"))))
        link = found.get(LINKS.get(tag, ""))
        if link:
            self.links.append(link)


def dead(root: Path) -> list[str]:
    """Return the dead links of all pages below a folder, each as ``page: link``.

    Links to other machines are left alone.
    """
    paths = [path for path in sorted(root.rglob("*.html")) if "_static" not in path.parts]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    found = []
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = target.is_file() or (target / "index.html").is_file()
            place = unquote(parts.fragment)
            if there and place and target in pages:
                there = place in pages[target].places
            if not there:
                found.append(f"{path.relative_to(root)}: {link}")
    return found
