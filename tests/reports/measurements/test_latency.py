"""Exported files are timed beside the float model."""

from vitquant.core.progress import Silent
from vitquant.exporters.runtimes.registry import installed_runtimes
from vitquant.reports.measurements.latency import latencies, what_is_missing


def test_each_runtime_has_both_models(make_small, subject_of):
    subject = subject_of(make_small("vit"), bits="w8a8", with_reference=False)
    assert what_is_missing(subject) is None
    found = latencies(subject, 2, Silent())
    runtimes = [runtime.name for runtime in installed_runtimes("onnx")]
    assert [(r.model, r.runtime) for r in found.rows] == [
        (model, runtime) for model in ("float", "quantized") for runtime in runtimes
    ]
    assert all(row.p10_ms <= row.median_ms <= row.p90_ms for row in found.rows)
    assert all((row.speedup is None) == (row.model == "float") for row in found.rows)
    float_bytes, own = found.rows[0].bytes, found.rows[-1].bytes
    assert own < float_bytes
