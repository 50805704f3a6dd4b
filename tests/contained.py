"""A page that holds all it shows, and a check that it loads, runs and goes to nothing else."""

import re
from html.parser import HTMLParser

from caveatlib.page.document import POLICY


class _Page(HTMLParser):
    """What a page would load, run or go to."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.loads, self.links, self.policy, self.before = [], [], [], "", []
        self.styles, self._style = "", False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if attrs.get("http-equiv") == "Content-Security-Policy":
            self.policy, self.before = attrs["content"], list(self.tags)
        self.tags.append(tag)
        self._style = tag == "style"
        self.styles += attrs.get("style") or ""
        self.links += [attrs["href"]] if tag == "a" and "href" in attrs else []
        loads = [v for k, v in attrs.items() if k in LOADS and not (tag == "a" and k == "href")]
        self.loads += [v for v in loads if v]
        assert not [k for k in attrs if k.startswith("on")], attrs

    def handle_data(self, data):
        self.styles += data if self._style else ""

    def handle_endtag(self, tag):
        self._style = False


NOTEBOOK = re.compile(r"(index|talk|\d\d-[\w-]+)\.html(#.*)?")
LOADS = {"src", "srcset", "href", "data", "action", "formaction", "poster", "background", "ping"}


def assert_self_contained(text: str) -> None:
    """Fail if a page loads, runs or asks for anything that is not in it."""
    page = _Page(text)
    assert page.policy == POLICY
    assert set(page.before) <= {"html", "head", "meta"}  # it holds from the first byte on
    assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & set(page.tags)
    assert [v[:40] for v in page.loads if not v.startswith("data:image/")] == []
    assert not re.search(r"@import|url\((?!['\"]?data:)", page.styles)
    inside = ("#", "https://", "data:application/gzip;", "data:application/json;")
    assert [v for v in page.links if not v.startswith(inside) and not NOTEBOOK.fullmatch(v)] == []
