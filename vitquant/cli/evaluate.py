"""``vitquant eval``."""

from typing import TYPE_CHECKING

from vitquant.cli import arguments, console
from vitquant.cli.options import options
from vitquant.config.evaluate import EvaluateSettings
from vitquant.models.float_options import FloatOptions

if TYPE_CHECKING:
    from rich.table import Table

    from vitquant.workflows.evaluate import Evaluated


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
        accuracy = done.found.accuracy
        console.result(f"top1 {accuracy.top1:.4f} top5 {accuracy.top5:.4f}")
    check_evaluated(done)


def _table(done: "Evaluated") -> "Table":
    from rich.table import Table

    found, reference = done.found, done.found.reference
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
