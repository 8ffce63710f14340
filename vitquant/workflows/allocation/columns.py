"""The losses of an analysis, width by width, so that a run that was interrupted goes on."""

import json
from collections.abc import Iterator
from pathlib import Path

from vitquant.config.analyze import AnalyzeSettings
from vitquant.config.bits import Bits
from vitquant.core import distributed
from vitquant.core.files import write_whole
from vitquant.core.partial_results import PartialResults
from vitquant.quantization.bit_allocation.measure import Loss, Measure
from vitquant.quantization.bit_allocation.sensitivity import Column, Part, measure_column
from vitquant.quantization.bit_allocation.switchable import SwitchableModel
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.training.state import run_fingerprint
from vitquant.workflows.calibration_images import resumable


def measured_columns(
    context: PTQContext, parts: list[Part], settings: AnalyzeSettings, out: Path | None
) -> list[Column]:
    """Measured, or read from what an interrupted run has left beside ``out``."""
    wanted = [
        (b, s) for b in settings.bits for s in ((False, True) if settings.spared else (False,))
    ]
    if out is None:
        return list(_measured(context, parts, settings, wanted))
    partial = PartialResults.beside(out)
    header = run_fingerprint(context.model, context.images, context.settings)
    header["--sensitivity-images"] = settings.sensitivity_images
    partial.open(header, context.progress)
    # Of all processes: none adds a column before all have measured it.
    found = {key: _read(partial, *key, len(parts)) for key in wanted}
    missing = [key for key, column in found.items() if column is None]
    if len(missing) < len(wanted):
        context.progress.say(
            f"{len(wanted) - len(missing)} of {len(wanted)} parts are finished already"
        )
    with resumable():
        for column in _measured(context, parts, settings, missing):
            found[column.bits, column.spared] = column
            if distributed.is_main():
                values = [list(loss) for loss in (column.whole, *column.losses)]
                part = partial.part(_part(column.bits, column.spared))
                write_whole(part, json.dumps(values).encode())
    return [column for column in found.values() if column is not None]


def _measured(
    context: PTQContext,
    parts: list[Part],
    settings: AnalyzeSettings,
    wanted: list[tuple[Bits, bool]],
) -> Iterator[Column]:
    if not wanted:
        return
    model = SwitchableModel(context, [bits for bits, _ in wanted])
    measure = Measure(context, model, settings.sensitivity_images)
    for bits, spared in wanted:
        yield measure_column(measure, parts, bits, spared)


def _part(bits: Bits, spared: bool) -> str:
    return f"{bits}-{'spared' if spared else 'alone'}.json"


def _read(partial: PartialResults, bits: Bits, spared: bool, count: int) -> Column | None:
    try:
        whole, *losses = [
            Loss(*pair) for pair in json.loads(partial.part(_part(bits, spared)).read_text())
        ]
    except (OSError, ValueError, TypeError):
        return None
    return Column(bits, spared, whole, tuple(losses)) if len(losses) == count else None
