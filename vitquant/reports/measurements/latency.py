"""How long the exported file takes in each runtime, beside the float model."""

from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch

from vitquant.benchmark.candidate import describe_file
from vitquant.benchmark.machine import cpu_name, versions
from vitquant.benchmark.measure import Wanted, measure, open_in
from vitquant.benchmark.own_int8 import float_candidate
from vitquant.config.targets import TARGETS
from vitquant.core.progress import Progress
from vitquant.core.threads import limited_to
from vitquant.exporters.compared import with_random_weights
from vitquant.exporters.onnx.export import to_onnx
from vitquant.exporters.onnx.options import OnnxOptions, choose_weight_type
from vitquant.exporters.runtimes.metadata import load_onnx
from vitquant.exporters.runtimes.registry import installed_runtimes
from vitquant.reports.measurements.subject import Subject
from vitquant.reports.sections.making import Latencies, Latency

_BATCH = 1


def latencies(subject: Subject, repeats: int, progress: Progress) -> Latencies:
    """Export to the checkpoint's target and time it in turn with the float model, image by image.

    The float model's weights do not matter for its speed, and are random where it is not at hand.

    Raises:
        UserError: the model cannot be exported, or no runtime takes its file.
    """
    runtimes = [runtime.name for runtime in installed_runtimes("onnx")]
    threads = torch.get_num_threads()
    with TemporaryDirectory() as folder, limited_to(threads):
        progress.say("exporting the model and its float model to ONNX, to time them")
        path = Path(folder) / "quantized.onnx"
        onnx.save(to_onnx(subject.model, subject.header, _options(subject)), path)
        plain = float_candidate(with_random_weights(subject.model), Path(folder))
        opened = open_in([plain, describe_file(path, load_onnx(path), None)], runtimes, progress)
        wanted = Wanted(repeats, breakdown=False, memory=False, threads=threads)
        rows = [row for _, row in measure(opened, _BATCH, wanted, progress)]
    return Latencies(
        device=cpu_name(),
        threads=threads,
        batch_size=_BATCH,
        repeats=repeats,
        versions=versions(),
        rows=tuple(
            Latency(
                model="float" if row.kind == "float" else "quantized",
                runtime=row.runtime,
                bytes=row.bytes,
                median_ms=row.latency.median_ms,
                p10_ms=row.latency.p10_ms,
                p90_ms=row.latency.p90_ms,
                speedup=None
                if row.kind == "float" or row.speedup is None
                else row.speedup.speedup_paired,
            )
            for row in rows
        ),
    )


def what_is_missing(subject: Subject) -> str | None:
    """Why nothing can be timed; None where it can."""
    if subject.model.reads_text:
        return "the model reads texts, and models of images are timed"
    if subject.header.target not in TARGETS:
        return f"the checkpoint is for {subject.header.target}, which is not known here"
    if not installed_runtimes("onnx"):
        return "no runtime is installed; pip install onnxruntime"
    return None


def _options(subject: Subject) -> OnnxOptions:
    target = TARGETS[subject.header.target]
    return OnnxOptions(choose_weight_type(None, target, "target"), None, False, False, target, None)
