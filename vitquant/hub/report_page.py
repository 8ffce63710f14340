"""A page of ``vitquant report`` for a repository: itself, and its charts for the model card."""

import html
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitquant.core.errors import UserError
from vitquant.hub.markdown import cell
from vitquant.reports.page.style import css

FOLDER, PAGE = "report/", "report.html"
_CHART = '<svg class="chart"'
_SECTION = re.compile(r'<h2 id="([^"]+)">(.*?)</h2>')
_ENDS = re.compile(r"<svg\b|</svg>")
# Of a chart as a file, in pixels; room for the axes at its sides.
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 720, 320, 60, 30, 20, 50
_ACCEPTED = "a page that vitquant report wrote of this checkpoint is accepted"


@dataclass(frozen=True)
class Chart:
    """A chart of a page.

    name: of its file. section: its heading. title, text: its own, and what it shows in words. svg:
    the file.
    """

    name: str
    section: str
    title: str
    text: str
    svg: str


@dataclass(frozen=True)
class ReportPage:
    """A page and its charts."""

    text: str
    charts: tuple[Chart, ...]

    def files(self) -> dict[str, str]:
        """What of it goes into a repository, by name."""
        return {PAGE: self.text} | {chart.name: chart.svg for chart in self.charts}


def read_page(path: Path, content_sha256: str, flag: str) -> ReportPage:
    """The page in a file, of the checkpoint with this hash. flag: what messages call it.

    Raises:
        UserError: there is no such file, or it is no page of the checkpoint.
    """
    try:
        text = path.read_text(encoding="utf-8")
        charts = tuple(_charts(text))
    except OSError as error:
        raise UserError(f"{flag}: {path} cannot be read ({error.strerror}); {_ACCEPTED}") from error
    except (UnicodeDecodeError, ET.ParseError) as error:
        raise UserError(f"{flag}: {path} is not such a page; {_ACCEPTED}") from error
    if content_sha256 not in text.replace("<wbr>", ""):
        raise UserError(f"{flag}: {path} is not of this checkpoint; {_ACCEPTED}")
    return ReportPage(text, charts)


def pictures(charts: Sequence[Chart]) -> Iterator[str]:
    """The charts in Markdown, under the headings of their sections."""
    sections = dict.fromkeys(chart.section for chart in charts)
    for section in sections:
        yield f"### {section}"
        for chart in charts:
            if chart.section == section:
                yield f"![{cell(chart.title)}]({chart.name})"
                yield f"{cell(chart.title)}. {cell(chart.text)}{_lines(chart)}"


def _lines(chart: Chart) -> str:
    """Which curve is which, as the end of a caption: a file has no legend."""
    count = chart.svg.count("<polyline")
    looks = ("solid", "dashed", "dotted", "dash-dotted")[:count]
    return f" The lines, in this order: {', '.join(looks)}." if count > 1 else ""


def _charts(text: str) -> Iterator[Chart]:
    """Raises ParseError where one is no XML."""
    sections = list(_SECTION.finditer(text))
    owners = [(at, [s for s in sections if s.start() < at]) for at in _starts(text)]
    owned = [(inside[-1], _element(text, at)) for at, inside in owners if inside]
    counts, seen = Counter(section[1] for section, _ in owned), Counter[str]()
    for section, svg in owned:
        name = section[1]
        seen[name] += 1
        number = f"-{seen[name]}" if counts[name] > 1 else ""
        root = ET.fromstring(svg)
        title, words = (root.findtext(part) or "" for part in ("title", "desc"))
        file = f"{FOLDER}{name}{number}.svg"
        yield Chart(file, html.unescape(section[2]), title, words, _file(svg))


def _starts(text: str) -> Iterator[int]:
    at = text.find(_CHART)
    while at >= 0:
        yield at
        at = text.find(_CHART, at + 1)


def _element(text: str, at: int) -> str:
    """The element of an SVG, in which others lie, that begins at a place."""
    depth = 0
    for end in _ENDS.finditer(text, at):
        depth += 1 if end[0] == "<svg" else -1
        if not depth:
            return text[at : end.end()]
    return ""


def _file(svg: str) -> str:
    """A chart with its style, on paper, in the light colors."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    style = css().replace("@media screen and (prefers-color-scheme: dark)", "@media not all")
    own = f"text {{ font-family: sans-serif }} .chart {{ width: {width}px; height: {height}px }}"
    placed = svg.replace(
        _CHART, f'{_CHART} x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}"', 1
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f"<style>{html.escape(style + own, quote=False)}</style>"
        f'<rect width="100%" height="100%" fill="#ffffff"/>{placed}</svg>\n'
    )
