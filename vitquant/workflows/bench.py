"""Time files side by side: behind ``vitquant bench`` and ``vitquant.bench``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from vitquant.benchmark.candidate import Candidate, describe_file, describe_program
from vitquant.benchmark.machine import cpu_name, versions
from vitquant.benchmark.measure import Wanted, measure, open_in
from vitquant.benchmark.output_file import check_output, write_output
from vitquant.benchmark.own_int8 import float_candidate, int8_candidate, missing
from vitquant.benchmark.rows import Row
from vitquant.config.bench import BenchSettings
from vitquant.core.errors import UserError
from vitquant.core.files import Input
from vitquant.core.progress import Progress, Silent
from vitquant.core.threads import limited_to
from vitquant.data.loader import load_batches
from vitquant.exporters.runtimes.metadata import load_onnx
from vitquant.exporters.runtimes.registry import format_of, get_runtime, installed_runtimes
from vitquant.models.float_options import FloatOptions
from vitquant.models.model import Model
from vitquant.models.sources import load_float
from vitquant.workflows.inputs import inputs_of
from vitquant.workflows.open import reading_for
from vitquant.workflows.scoring.bench_scores import Compared


@dataclass(frozen=True)
class Benchmarked:
    """What was measured.

    Attributes:
        rows: one for each file, runtime and batch size.
        model: the float model that was timed too; None without one.
        threads: of each runtime.
        images: how many labeled images the files were scored on; None without them.
        settings: what the benchmark was asked for.
    """

    rows: list[Row]
    model: Model | None
    threads: int
    images: int | None
    settings: BenchSettings

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant bench --json`` prints."""
        settings = self.settings
        return {
            "model": settings.model,
            "float_model": None if self.model is None else self.model.identity.to_json(),
            "device": cpu_name(),
            "versions": versions(),
            "threads": self.threads,
            "repeats": settings.repeats,
            "calib": settings.calib,
            "data": settings.data,
            "images": self.images,
            "reference": settings.reference,
            "rows": [row.to_json() for row in self.rows],
        }


def bench(
    files: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> Benchmarked:
    """Measure latency, throughput, memory and predictions of exported files, side by side.

    Args:
        files: the path of one file or of several: ONNX files and ``.pte`` that ``vitquant export``
            wrote, or ONNX files whose one input is a batch of images.
        out: a file to write to. Its name ends in ``.json``, or in ``.csv``, to which rows are
            appended.
        progress: a listener. By default nothing is printed.
        settings: ``model``, ``calib``, ``batch_size`` and the other options of ``vitquant bench``,
            with ``_`` for ``-``. ``batch_size`` is a number, or several such as ``"1,8"``.

    Returns:
        The rows.

    Raises:
        UserError: a file or a setting cannot be used.
    """
    if isinstance(settings.get("batch_size"), int):
        settings["batch_size"] = str(settings["batch_size"])
    if isinstance(size := settings.get("input_size"), int | tuple | list):
        settings["input_size"] = str(size) if isinstance(size, int) else "x".join(map(str, size))
    paths = [files] if isinstance(files, str | Path) else files
    chosen = BenchSettings.build(**settings)
    target = None if out is None else Path(out)
    return run_bench([Path(path) for path in paths], chosen, target, progress or Silent())


def run_bench(
    files: Sequence[Path], settings: BenchSettings, out: Path | None, progress: Progress
) -> Benchmarked:
    """As :func:`bench`, with settings at hand."""
    flag = settings.naming.option("out")
    if out is not None:
        inputs = [*(Input("FILE", path) for path in files), *inputs_of(settings)]
        check_output(out, flag, inputs)
    runtimes = _runtimes(settings, files)
    graphs = {path: load_onnx(path) for path in files if format_of(path) == "onnx"}
    model = _float_model(settings)
    candidates = [
        describe_file(path, graphs[path], model)
        if path in graphs
        else describe_program(path, model)
        for path in files
    ]
    _check_batches(candidates, settings)
    _warn_of_others(candidates, model, settings, progress)
    reading = reading_for(settings, progress)
    compared = Compared.open(settings, reading, model, candidates)
    threads = settings.threads or torch.get_num_threads()
    with limited_to(threads), TemporaryDirectory() as folder:
        made = _made(settings, model, compared, runtimes, Path(folder), progress)
        opened = open_in([*made, *candidates], runtimes, progress)
        progress.say(f"{len(opened)} models on {cpu_name()}, {threads} threads, in turn")
        wanted = Wanted(settings.repeats, settings.breakdown, settings.memory, threads)
        measured = [
            row for size in settings.batch_sizes for row in measure(opened, size, wanted, progress)
        ]
        scores = {id(one): compared.scores(one, progress) for one in opened}
    rows = [replace(row, scores=scores[id(one)]) for one, row in measured]
    reading.report()
    images = None if compared.labeled is None else len(compared.labeled)
    done = Benchmarked(rows, model, threads, images, settings)
    if out is not None:
        write_output(out, flag, done.to_json())
    return done


def _runtimes(settings: BenchSettings, files: Sequence[Path]) -> list[str]:
    formats = dict.fromkeys(("onnx", *map(format_of, files)))
    installed = [r.name for format in formats for r in installed_runtimes(format)]
    if settings.runtime is None:
        return installed
    if settings.runtime not in installed:
        label = get_runtime(settings.runtime).label
        raise UserError(
            f"{settings.naming.option('runtime')}: {label} is not installed; pip install "
            f"{settings.runtime}, or one of {', '.join(installed)} is accepted"
        )
    return [settings.runtime]


def _float_model(settings: BenchSettings) -> Model | None:
    if settings.model is None:
        return None
    given = FloatOptions.build(settings.weights, settings.num_classes, settings.input_size)
    model = load_float(settings.model, *given)
    if model.reads_text:
        raise UserError(
            f"{settings.naming.option('model')}: {settings.model} reads texts; a model of images "
            f"is accepted"
        )
    return model


def _check_batches(candidates: Sequence[Candidate], settings: BenchSettings) -> None:
    for candidate in candidates:
        if candidate.batch is not None and candidate.batch not in settings.batch_sizes:
            raise UserError(
                f"{settings.naming.option('batch_size')}: {candidate.name} takes batches of "
                f"{candidate.batch} alone; add that size, or leave the file out"
            )


def _warn_of_others(
    candidates: Sequence[Candidate],
    model: Model | None,
    settings: BenchSettings,
    progress: Progress,
) -> None:
    for candidate in candidates:
        weights = candidate.metadata.identity.weights_sha256
        if model is not None and weights not in ("", model.identity.weights_sha256):
            progress.warn(f"{candidate.name} was made from other weights than those of the model")
        if settings.data is not None and not candidate.classifies:
            progress.warn(f"{candidate.name} does not say what its classes are: no top-1")


def _made(
    settings: BenchSettings,
    model: Model | None,
    compared: Compared,
    runtimes: Sequence[str],
    folder: Path,
    progress: Progress,
) -> list[Candidate]:
    """The float model as a file, and what each runtime makes of it."""
    if model is None:
        return []
    progress.say(f"exporting {model.identity.name} in float32")
    plain = float_candidate(model, folder)
    if compared.calib is None:
        return [plain]
    count = len(compared.chosen)
    batches = load_batches(compared.calib, compared.chosen, model.transform(), count)
    images = torch.cat([batch for batch, _ in batches])
    made = [plain]
    for runtime in runtimes:
        if get_runtime(runtime).format != plain.format:
            continue
        if (why := missing(runtime)) is not None:
            progress.warn(why)
            continue
        progress.say(f"int8 by {runtime} itself, calibrated on {count} images")
        made.append(int8_candidate(runtime, plain, model, images, folder))
    return made
