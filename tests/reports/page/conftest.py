"""Pages taken apart, and a browser to look at them where there is one."""

import html
import shutil
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

_WITHOUT_END = {"meta", "img", "wbr"}


@dataclass
class Element:
    """Also the text of all of its children; in_chart: whether it is a part of an SVG."""

    name: str
    attributes: dict[str, str | None]
    in_chart: bool
    text: str = ""


@dataclass
class Page(HTMLParser):
    """A page taken apart; an AssertionError if its elements do not close in order."""

    source: str
    elements: list[Element] = field(default_factory=list)
    _open: list[Element] = field(default_factory=list)

    def __post_init__(self):
        super().__init__(convert_charrefs=True)
        self.feed(self.source)
        self.close()
        assert [element.name for element in self._open] == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"{tag}: an attribute twice"
        element = Element(tag, dict(attrs), any(e.name == "svg" for e in self._open))
        self.elements.append(element)
        if tag not in _WITHOUT_END:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open[-1].name == tag
        self._open.pop()

    def handle_data(self, data):
        for element in self._open:
            element.text += data

    def all(self, name, **attributes) -> list[Element]:
        """The elements of a name; ``class_="x"`` those of a class."""
        wanted = attributes.pop("class_", None)
        return [
            element
            for element in self.elements
            if element.name == name
            and (wanted is None or wanted in (element.attributes.get("class") or "").split())
        ]

    @property
    def text(self) -> str:
        return self.all("body")[0].text

    def check(self):
        """What is true of every page: alone, without script, one title, no id twice."""
        assert self.source.startswith("<!DOCTYPE html>")
        assert len([title for title in self.all("title") if not title.in_chart]) == 1
        names = {element.name for element in self.elements}
        assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
        ids = [e.attributes["id"] for e in self.elements if "id" in e.attributes]
        assert len(ids) == len(set(ids))
        for element in self.elements:
            for key, value in element.attributes.items():
                assert not key.startswith("on"), element
                if key == "href":
                    assert value[0] == "#", element
                    assert value[1:] in ids, element
                if key == "src":
                    assert value.startswith("data:image/"), element
                assert "url(" not in (value or ""), element
        for svg in self.all("svg"):
            assert svg.attributes.get("role") == "img" or svg.attributes.get("aria-hidden"), svg
        style = self.all("style")
        assert len(style) == 1
        assert "url(" not in style[0].text
        assert "@import" not in style[0].text
        return self


@pytest.fixture
def parse():
    """parse(source) → a Page, checked."""
    return lambda source: Page(source).check()


@pytest.fixture
def fragment():
    """fragment(source) → a part of a page, taken apart."""
    return Page


_MEASURE = """<!DOCTYPE html><body style="margin:0"><iframe srcdoc="{page}"
style="border:0;width:{width}px;height:900px"></iframe><pre></pre><script>
onload = () => {{
  const inside = document.querySelector("iframe").contentDocument.documentElement
  document.querySelector("pre").textContent = "over " + (inside.scrollWidth - inside.clientWidth)
}}</script>"""


@pytest.fixture
def overflow(tmp_path):
    """overflow(page, width) → pixels by which the page is wider than a window of that width."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium is installed")

    def measure(page: str, width: int) -> int:
        # In a frame: a window of Chromium has at least 500 pixels.
        outer = tmp_path / "outer.html"
        outer.write_text(_MEASURE.format(page=html.escape(page), width=width))
        done = subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                f"--user-data-dir={tmp_path / 'profile'}", outer.as_uri(),
            ],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        found = done.stdout.partition("<pre>over ")[2].partition("<")[0]
        assert found, done.stderr
        return int(found)

    return measure
