"""A report goes into the repository with its checkpoint, its charts into the card."""

import re
import xml.etree.ElementTree as ET

import pytest

import vitquant
from vitquant.core.errors import UserError
from vitquant.hub.publish import push
from vitquant.hub.report_page import read_page

NAME = "someone/vit-digits-w4a4"


@pytest.fixture(scope="session")
def page(checkpoint, tmp_path_factory):
    """A page on the checkpoint, and the hash of that."""
    path = tmp_path_factory.mktemp("report") / "page.html"
    found = vitquant.report(
        checkpoint, path, data="digits", images=16, corruption_images=0, latency=False
    )
    return path, found.model.content_sha256


def test_charts_are_files_that_stand_alone(page):
    path, content = page
    charts = read_page(path, content, "--report").charts
    sections = [chart.section for chart in charts]
    assert sections == ["Error block by block"] + 6 * ["Activations against their grids"]
    assert charts[0].name == "report/error-block-by-block.svg"
    assert len({chart.name for chart in charts}) == 7
    for chart in charts:
        root = ET.fromstring(chart.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "--blue:" in root.findtext("{*}style")
        assert chart.title in [e.text for e in root.iter() if e.tag.endswith("}title")]
        assert "http" not in chart.svg.replace("http://www.w3.org/2000/svg", "")
    assert "blocks.3" in charts[0].text


def test_it_goes_with_the_checkpoint(hub, checkpoint, page, token):
    found = read_page(*page, "--report")
    push(checkpoint, NAME, report=found)
    files = hub.repositories[NAME].files
    assert files["report.html"] == page[0].read_bytes()
    card = files["README.md"].decode()
    shown = set(re.findall(r"!\[.*?\]\((.*?)\)", card))
    assert shown == {chart.name for chart in found.charts} == {n for n in files if "/" in n}
    assert "[report.html](report.html)" in card
    assert "### Error block by block" in card
    assert "The lines, in this order: solid, dashed." in card


def test_another_upload_leaves_nothing_of_it(hub, checkpoint, page):
    push(checkpoint, NAME, report=read_page(*page, "--report"))
    push(checkpoint, NAME)
    assert set(hub.repositories[NAME].files) == {"model.safetensors", "config.json", "README.md"}
    assert "report" not in hub.repositories[NAME].files["README.md"].decode()


def test_pages_that_are_none(page, tmp_path):
    path, content = page
    for data, words in [
        (path.read_bytes(), "not of this checkpoint"),
        (b"\xff\xfe", "not such a page"),
        (b"<h2 id='x'>", "not of this checkpoint"),
        (b'<h2 id="x">y</h2><svg class="chart"><b></svg>', "not such a page"),
    ]:
        other = tmp_path / "other.html"
        other.write_bytes(data)
        with pytest.raises(UserError, match=words) as raised:
            read_page(other, content[::-1], "--report")
        assert str(raised.value).startswith(f"--report: {other}")
    with pytest.raises(UserError, match="cannot be read"):
        read_page(tmp_path / "none.html", content, "--report")
