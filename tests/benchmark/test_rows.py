"""From seconds to figures."""

import csv
import io

import pytest

from vitquant.benchmark.rows import KindTime, Latency, Row, Scores, Speedup, by_kind, to_csv
from vitquant.exporters.runtimes.base import NodeTime


def row(**changes):
    latency = Latency.of([0.010, 0.020, 0.030], 4)
    given = {"name": "x.onnx", "kind": "file", "model": "m", "bits": "w4a4"}
    given |= {"runtime": "onnxruntime", "batch_size": 4, "latency": latency, "speedup": None}
    return Row(**(given | {"bytes": 7} | changes))


def test_latency_is_of_a_batch_and_images_are_those_of_the_median():
    found = Latency.of([0.010, 0.020, 0.030, 0.040, 0.050], 6)
    assert found.median_ms == pytest.approx(30)
    assert found.minimum_ms == pytest.approx(10)
    assert (found.p10_ms, found.p90_ms) == (pytest.approx(14), pytest.approx(46))
    assert found.images_per_second == pytest.approx(200)
    assert Latency.of([0.5], 1) == Latency(500, 500, 500, 500, 2)


def test_ratios_are_those_of_medians_of_fastest_runs_and_of_rounds():
    found = Speedup.of(seconds=[1.0, 2.0, 8.0], base=[4.0, 4.0, 8.0])
    assert found.speedup_median == 4 / 2
    assert found.speedup_minimum == 4 / 1
    assert found.speedup_paired == 2  # of 4, 2 and 1


def test_nodes_are_summed_by_kind_the_largest_first():
    times = [NodeTime("a", 0.001), NodeTime("b", 0.006), NodeTime("a", 0.001)]
    assert by_kind(times) == [
        KindTime("b", 1, pytest.approx(6), pytest.approx(75)),
        KindTime("a", 2, pytest.approx(2), pytest.approx(25)),
    ]
    assert by_kind([]) == []


def test_a_row_is_flat_and_says_null_for_what_was_not_measured():
    found = row(scores=Scores(top1=0.75)).to_json()
    assert all(not isinstance(value, dict) for value in found.values())
    assert found["median_ms"] == 20
    assert found["top1"] == 0.75
    assert found["agreement"] is found["speedup_paired"] is found["peak_memory_bytes"] is None
    assert "breakdown" not in found
    kinds = row(breakdown=[KindTime("a", 2, 1.0, 100.0)]).to_json()["breakdown"]
    assert kinds == [{"kind": "a", "nodes": 2, "ms": 1.0, "percent": 100.0}]
    assert list(row(speedup=Speedup(1, 2, 3)).to_json()) == list(row().to_json())


def test_lines_of_csv_can_be_appended():
    rows = [row().to_json(), row(name="a,b").to_json()]
    text = to_csv(rows[:1], True) + to_csv(rows[1:], False)
    read = list(csv.DictReader(io.StringIO(text)))
    assert [line["name"] for line in read] == ["x.onnx", "a,b"]
    assert read[0]["batch_size"] == "4"
