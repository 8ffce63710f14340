"""``vitquant bench``: rows, what is written, and what is refused. No time is looked at."""

import csv
import json

import onnx
import pytest

from vitquant.benchmark.own_int8 import missing
from vitquant.exporters.runtimes.registry import installed_runtimes

RUNTIMES = [runtime.name for runtime in installed_runtimes("onnx")]
BRIEF = ("--repeats", 2, "--no-memory", "--threads", 1)


@pytest.fixture(scope="session")
def exported(checkpoint, tmp_path_factory):
    """`vit_digits` in 8 bits as an ONNX file."""
    from vitquant.cli.main import main

    path = tmp_path_factory.mktemp("onnx") / "vit.onnx"
    assert main(["export", str(checkpoint), "--images", "2", "--out", str(path)]) == 0
    return path


@pytest.fixture
def foreign(exported, tmp_path):
    """The same file of another origin, for one image at a time."""
    graph = onnx.load(exported)
    del graph.metadata_props[:]
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(graph, tmp_path / "foreign.onnx")
    return tmp_path / "foreign.onnx"


def test_rows_of_files_runtimes_and_batches(vitquant, exported, foreign):
    asked = ("bench", exported, foreign, *BRIEF, "--batch-size", "1,2", "--json")
    found = vitquant(*asked).json
    assert {"model", "device", "versions", "threads", "rows"} <= set(found)
    assert (found["model"], found["threads"], found["repeats"]) == (None, 1, 2)
    cases = [(row["name"], row["batch_size"], row["runtime"]) for row in found["rows"]]
    expected = [(str(exported), 1, r) for r in RUNTIMES] + [(str(foreign), 1, r) for r in RUNTIMES]
    assert cases == expected + [(str(exported), 2, r) for r in RUNTIMES]
    for row in found["rows"]:
        assert 0 < row["minimum_ms"] <= row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["speedup_paired"] is None
    assert found["rows"][0]["bytes"] == exported.stat().st_size
    assert found["rows"][0]["bits"] == "w8a8"
    assert found["rows"][0]["model"] == "vit_digits"


@pytest.mark.slow
def test_beside_the_float_model_and_what_runtimes_make_of_it(
    vitquant, exported, checkpoint, digits_by_class
):
    model = ("--model", "vit_digits", "--calib", digits_by_class, "--images", 4)
    scored = ("--data", digits_by_class, "--reference", checkpoint, "--breakdown")
    found = vitquant("bench", exported, *BRIEF, *model, *scored, "--json").json
    kinds = [(row["kind"], row["runtime"]) for row in found["rows"]]
    made = [("int8", r) for r in RUNTIMES if missing(r) is None]
    floats, files = ([(kind, r) for r in RUNTIMES] for kind in ("float", "file"))
    assert kinds == floats + made + files
    assert found["images"] == 20
    for row in found["rows"]:
        assert row["agreement_float"] >= 0.75
        assert min(row["top1"], row["agreement"]) >= 0.9
        assert sum(kind["percent"] for kind in row["breakdown"]) == pytest.approx(100, abs=0.1)
        if row["kind"] == "float":
            assert row["speedup_paired"] == row["speedup_minimum"] == 1
    ours = next(r for r in found["rows"] if r["kind"] == "file" and r["runtime"] == "onnxruntime")
    assert any(kind["kind"] == "QGemm (uint8)" for kind in ours["breakdown"])


@pytest.mark.slow
def test_memory_of_a_process_of_its_own(vitquant, exported):
    asked = ("bench", exported, "--repeats", 1, "--runtime", "onnxruntime", "--json")
    (row,) = vitquant(*asked).json["rows"]
    assert row["peak_memory_bytes"] > row["memory_bytes"] > row["bytes"]


def test_the_table_is_the_result(vitquant, exported):
    ended = vitquant("bench", exported, *BRIEF, "--runtime", "onnxruntime")
    assert ended.code == 0
    assert str(exported.name) in ended.out.replace("\n", "")
    assert "onnxruntime" in ended.out
    assert "openvino" not in ended.out
    assert "top-1" not in ended.out


def test_rows_are_appended(vitquant, exported, tmp_path):
    asked = ("bench", exported, *BRIEF, "--runtime", "onnxruntime", "--out")
    for _ in range(2):
        assert vitquant(*asked, "rows.csv").out == "rows.csv\n"
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert [row["runtime"] for row in rows] == ["onnxruntime"] * 2
    assert rows[0]["threads"] == "1"
    assert "onnxruntime" in rows[0]["versions"]
    vitquant(*asked, "rows.json")
    assert len(json.loads((tmp_path / "rows.json").read_text())["rows"]) == 1
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    vitquant(*asked, "other.csv").refused("--out", "other columns")
    assert (tmp_path / "other.csv").read_text() == "a,b\n1,2\n"


def test_files_that_cannot_be_timed(vitquant, exported, foreign, tmp_path):
    vitquant("bench", tmp_path / "none.onnx").refused("FILE", "none.onnx", "not a file")
    for name in ("text.onnx", "text.json"):
        (tmp_path / name).write_text('{"remember": "the milk"}')
        vitquant("bench", exported, tmp_path / name).refused("FILE", name)
    vitquant("bench", foreign, "--batch-size", 2).refused("--batch-size", "batches of 1")
    assert vitquant("bench").code == 2


def test_options_that_cannot_be(vitquant, exported, foreign, monkeypatch):
    vitquant("bench", exported, "--calib", "digits").refused("--calib", "--model")
    vitquant("bench", exported, "--reference", "x").refused("--reference", "--data")
    vitquant("bench", exported, "--batch-size", "1,0").refused("--batch-size", "such as 1,8")
    vitquant("bench", exported, "--repeats", 0).refused("--repeats", "1 or more")
    vitquant("bench", exported, "--runtime", "tflite").refused("--runtime", "onnxruntime")
    vitquant("bench", exported, "--out", exported).refused("--out", ".csv")
    vitquant("bench", exported, "--model", "swin_digits").refused("--model", "vit_digits")
    vitquant("bench", foreign, "--data", "digits").refused("--data", "--model")
    monkeypatch.setattr(
        "vitquant.exporters.runtimes.openvino_runtime.OpenVino.installed", lambda self: False
    )
    vitquant("bench", exported, "--runtime", "openvino").refused("--runtime", "pip install")


def test_an_interruption_leaves_nothing(vitquant, exported, monkeypatch, tmp_path):
    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("vitquant.benchmark.measure.interleave", interrupted)
    ended = vitquant("bench", exported, *BRIEF, "--out", "rows.csv")
    assert (ended.code, ended.out) == (130, "")
    assert list(tmp_path.iterdir()) == []
