"""``vitquant eval``."""

from typing import TYPE_CHECKING

from vitquant.cli import arguments, console
from vitquant.cli.options import options
from vitquant.config.evaluate import EvaluateSettings
from vitquant.models.float_options import FloatOptions

if TYPE_CHECKING:
    from rich.table import Table

    from vitquant.evaluation.accuracy import Evaluation
    from vitquant.evaluation.neighbors import NeighborScores
    from vitquant.evaluation.outputs import OutputEvaluation
    from vitquant.workflows.results.evaluated import Evaluated

# Errors are in units of the outputs, which may be small.
_ERROR = ".4g"


@options(EvaluateSettings)
def evaluate(
    model: arguments.ModelName,
    settings: EvaluateSettings,
    weights: arguments.Weights = None,
    num_classes: arguments.NumClasses = None,
    input_size: arguments.InputSize = None,
    device: arguments.Device = "auto",
    json: arguments.Json = False,
) -> None:
    """Measure top-1 and top-5 accuracy of a float or quantized model.

    A model without classes is compared with --reference, or scored by neighbors in a --gallery.

    --weights belongs to the float model: to MODEL, or to --reference where MODEL is a checkpoint.
    """
    given = FloatOptions.build(weights, num_classes, input_size)
    from vitquant.core.device import resolve_device
    from vitquant.workflows.evaluate import check_evaluated, device_of, run_evaluation
    from vitquant.workflows.open import resolve

    named = resolve(arguments.name_or_stdin(model))
    where = resolve_device(device_of(named, device))
    terminal = console.Terminal()
    done = run_evaluation(named, settings, given, where, terminal)
    terminal.table(_table(done))
    if json:
        console.result_json(done.to_json())
    else:
        console.result(_line(done))
    check_evaluated(done)


def _line(done: "Evaluated") -> str:
    """The figures alone, each behind its key in the JSON object."""
    figures = done.to_json()
    keys = ("top1", "top5", "neighbor_top1", "cosine", "relative_error", "mean_absolute_error")
    known = [k for k in keys if figures.get(k) is not None]
    return " ".join(f"{k} {figures[k]:{_ERROR if 'error' in k else '.4f'}}" for k in known)


def _table(done: "Evaluated") -> "Table":
    from vitquant.evaluation.accuracy import Evaluation

    if isinstance(done.found, Evaluation):
        return _accuracy_table(done, done.found)
    return _output_table(done, done.found)


def _accuracy_table(done: "Evaluated", found: "Evaluation") -> "Table":
    from rich.table import Table

    reference = found.reference
    table = Table("model", "top-1 %", "top-5 %", "drop", "agreement %", "images/s")
    if done.reference is not None and reference is not None:
        label = f"{done.reference.identity.name} (reference)"
        table.add_row(label, f"{reference.top1:.2%}"[:-1], f"{reference.top5:.2%}"[:-1], "", "", "")
    drop = "" if reference is None else f"{100 * (reference.top1 - found.accuracy.top1):.2f}"
    agreement = "" if found.agreement is None else f"{100 * found.agreement:.2f}"
    table.add_row(
        done.name,
        f"{100 * found.accuracy.top1:.2f}",
        f"{100 * found.accuracy.top5:.2f}",
        drop,
        agreement,
        f"{found.images_per_second:.1f}",
    )
    return table


def _output_table(done: "Evaluated", found: "OutputEvaluation") -> "Table":
    """Neighbors of both models where there is a gallery, errors where there is a reference."""
    from rich.table import Table

    from vitquant.evaluation.neighbors import RECALL_AT

    titles = [f"recall@{k} %" for k in RECALL_AT] if found.neighbors is not None else []
    errors = ["cosine", "relative error", "mean absolute error"] if found.error is not None else []
    table = Table("model", *titles, *errors, "images/s")
    if done.reference is not None and found.reference_neighbors is not None:
        label = f"{done.reference.identity.name} (reference)"
        table.add_row(label, *_recall(found.reference_neighbors))
    cells = []
    if (error := found.error) is not None:
        cosine = "" if error.cosine is None else f"{error.cosine:.4f}"
        cells = [
            cosine,
            *(f"{e:{_ERROR}}" for e in (error.relative_error, error.mean_absolute_error)),
        ]
    table.add_row(done.name, *_recall(found.neighbors), *cells, f"{found.images_per_second:.1f}")
    return table


def _recall(found: "NeighborScores | None") -> list[str]:
    return [] if found is None else [f"{100 * x:.2f}" for x in found.recall_at_k.values()]
