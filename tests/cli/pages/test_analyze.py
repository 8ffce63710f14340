"""``vitquant analyze``: its table, its files, and what is refused."""

import csv
import json
import re

import pytest

BRIEF = ("--sensitivity-images", 4, "--init-images", 4, "--no-layer-times")
ASKED = ("analyze", "vit_digits", "--bits", "w2a4,w8a8")


@pytest.fixture
def analyze(vitquant, digits_by_class):
    """analyze(*options) → how a short analysis of the miniature ended."""

    def run(*options):
        return vitquant(*ASKED, "--calib", digits_by_class, *BRIEF, *options)

    return run


def test_json(analyze):
    found = analyze("--json").json
    assert {"model", "bits", "calib", "images", "loss", "whole", "parts", "settings"} <= set(found)
    assert (found["model"], found["bits"], found["images"]) == ("vit_digits", ["w2a4", "w8a8"], 4)
    assert found["loss"] == "KL divergence"
    low, high = found["whole"]
    assert low["loss"] > high["loss"] >= 0
    rows = {(row["name"], row["bits"]): row for row in found["parts"]}
    head = rows["head", "w2a4"]
    assert head["kind"] == "linear"
    assert head["bytes"] == 240
    assert head["time_share"] is None
    assert head["alone_loss"] > rows["head", "w8a8"]["alone_loss"]
    assert head["spared_loss"] != low["loss"]
    assert rows["blocks.*.mlp.fc2", "w8a8"]["kind"] == "group"
    assert rows["blocks.3", "w8a8"]["kind"] == "block"


def test_a_table_on_stdout(analyze):
    ended = analyze("--no-spared")
    assert ended.code == 0
    assert "blocks.0.attn.qkv" in ended.out
    assert "w2a4 alone" in ended.out
    assert "spared" not in ended.out


def test_rows_in_a_csv_file(analyze, tmp_path):
    ended = analyze("--out", "rows.csv")
    assert ended.out == "rows.csv\n"
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) % 2 == 0
    assert {row["bits"] for row in rows} == {"w2a4", "w8a8"}
    assert all(float(row["alone_loss"]) >= 0 for row in rows)
    assert not list(tmp_path.glob(".*"))


def test_a_page(analyze, tmp_path):
    assert analyze("--out", "page.html").out == "page.html\n"
    text = (tmp_path / "page.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "What quantizing vit_digits costs" in text
    assert "Everything but one part" in text
    names = re.sub("<wbr>", "", text)
    assert names.count("blocks.*.attn.products.1") == 3
    assert "<script" not in text


@pytest.mark.slow
def test_shares_of_time(vitquant, digits_by_class):
    found = vitquant(*ASKED, "--calib", digits_by_class, *BRIEF[:-1], "--no-spared", "--json").json
    single = ("linear", "conv2d", "matmul")
    shares = [
        r["time_share"] for r in found["parts"] if r["bits"] == "w2a4" and r["kind"] in single
    ]
    assert all(share > 0 for share in shares)
    assert sum(shares) + found["other_time_share"] == pytest.approx(1, abs=1e-3)


def test_an_interrupted_run_goes_on(analyze, tmp_path, monkeypatch):
    from vitquant.workflows.allocation import columns as workflow

    measure, done = workflow.measure_column, []

    def interrupted(*arguments, **keywords):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(measure(*arguments, **keywords))
        return done[-1]

    monkeypatch.setattr(workflow, "measure_column", interrupted)
    ended = analyze("--out", "rows.json")
    assert (ended.code, ended.out) == (130, "")
    assert "goes on where this stopped" in ended.err
    assert not (tmp_path / "rows.json").exists()
    monkeypatch.setattr(workflow, "measure_column", measure)
    resumed = analyze("--out", "rows.json")
    assert "3 of 4 parts are finished already" in resumed.err
    again = analyze("--out", "again.json")
    assert "finished already" not in again.err
    first, second = (json.loads((tmp_path / n).read_text()) for n in ("rows.json", "again.json"))
    assert first["parts"] == second["parts"]


def test_a_checkpoint_is_refused(vitquant, checkpoint):
    asked = ("analyze", checkpoint, "--bits", "w4a4", "--calib", "digits")
    vitquant(*asked).refused("MODEL", "quantized already")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bits", "w9a9"), ["--bits", "w9a9"]),
        (("--out", "page.pdf"), ["--out", "page.pdf", ".html", ".csv", ".json"]),
        (("--out", "nowhere/page.html"), ["--out", "nowhere"]),
        (("--sensitivity-images", "0"), ["--sensitivity-images", "1 or more"]),
        (("--keep-float", "x.*"), ["--keep-float", "x.*", "names no layer"]),
        (("--calib", "missing"), ["--calib", "missing"]),
    ],
)
def test_refused(options, words, vitquant, digits_by_class, tmp_path):
    given = {"--bits": "w4a4", "--calib": digits_by_class} | dict([options])
    vitquant("analyze", "vit_digits", *(x for pair in given.items() for x in pair)).refused(*words)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_measure_the_same(processes, digits_by_class, tmp_path):
    asked = (*ASKED, "--calib", digits_by_class, *BRIEF, "--json")
    one, two = (processes(count, *asked).json for count in (1, 2))
    for first, second in zip(one["parts"], two["parts"], strict=True):
        assert first["alone_loss"] == pytest.approx(second["alone_loss"], rel=1e-3, abs=1e-6)
