"""``vitquant quantize``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitquant.cli import arguments, console
from vitquant.cli.options import options
from vitquant.config.groups.training import JOINT
from vitquant.config.quantize import SYNTHESIZERS_OF_CALIB, QuantizeSettings
from vitquant.core.errors import UserError
from vitquant.models.float_options import FloatOptions

if TYPE_CHECKING:
    from vitquant.evaluation.agreement import Fidelity
    from vitquant.workflows.results.quantized_file import QuantizedFile


@options(QuantizeSettings, recipe=True)
def quantize(
    model: arguments.ModelName,
    settings: QuantizeSettings,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Where to write; by default MODEL-BITS.safetensors here."
        ),
    ] = None,
    device: arguments.Device = "auto",
    weights: arguments.Weights = None,
    num_classes: arguments.NumClasses = None,
    input_size: arguments.InputSize = None,
    yes: arguments.Yes = False,
    json: arguments.Json = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep the state of training in a file beside --out, and go on from it if it is "
            "there already.",
            rich_help_panel="Resume (joint)",
        ),
    ] = False,
    save_every: Annotated[
        int | None,
        typer.Option(
            "--save-every",
            metavar="N",
            help="With --resume, write the state each N steps; by default each 30 seconds at most.",
            rich_help_panel="Resume (joint)",
        ),
    ] = None,
) -> None:
    """Quantize a pretrained vision transformer and write a small checkpoint.

    Prints the path of the checkpoint.
    """
    _check(settings, yes, resume, save_every)
    given = FloatOptions.build(weights, num_classes, input_size)
    from vitquant.core.device import resolve_device
    from vitquant.workflows.quantize import quantize_to_file

    terminal = console.Terminal()
    done = quantize_to_file(
        arguments.name_or_stdin(model),
        settings,
        out,
        given,
        resume=resume,
        save_every=save_every,
        device=resolve_device(device),
        progress=terminal,
        confirm=arguments.confirmation(yes, terminal),
    )
    if done is None:
        return
    _summarize(done, terminal)
    if json:
        console.result_json(done.to_json())
    else:
        console.result(str(done.path))


def _check(settings: QuantizeSettings, yes: bool, resume: bool, save_every: int | None) -> None:
    if yes and settings.calib not in SYNTHESIZERS_OF_CALIB:
        raise UserError(f"--yes: --calib {settings.calib} generates nothing; leave it out")
    if resume and settings.method not in JOINT["method"]:
        raise UserError(f"--resume: method {settings.method} keeps no state; accepted with: joint")
    if save_every is not None and not resume:
        raise UserError("--save-every: it says how often --resume writes; add --resume")
    if save_every is not None and save_every < 1:
        raise UserError(f"--save-every: {save_every} is not 1 or more")


def _summarize(done: "QuantizedFile", terminal: console.Terminal) -> None:
    quantized = done.quantized
    float_bytes = quantized.model.identity.float_bytes
    terminal.say(
        f"{done.bytes / 1e6:.2f} MB, float {float_bytes / 1e6:.2f} MB "
        f"({float_bytes / done.bytes:.1f} times smaller), {quantized.fidelity}, "
        f"{quantized.seconds:.0f} s"
    )
    if (complaint := _complaint(quantized.fidelity)) is not None:
        terminal.warn(complaint)
    wanted, reached = done.settings.min_agreement, quantized.fidelity.agreement
    if wanted is not None and reached is not None and reached < wanted:
        terminal.warn(
            f"the agreement is {reached:.1%} after all, less than --min-agreement {wanted:g}; a "
            f"larger value leads to more bits"
        )


def _complaint(fidelity: "Fidelity") -> str | None:
    from vitquant.evaluation.agreement import MOST_ERROR

    if fidelity.not_finite:
        return (
            f"outputs of the float or of the quantized model are NaN or infinite on "
            f"{fidelity.not_finite} of {fidelity.images} images"
        )
    if not fidelity.collapsed:
        return None
    why = f"its relative error is above {MOST_ERROR}"
    if fidelity.agreement is not None:
        why = f"it agrees with the float one on fewer than {fidelity.floor:.0%} of the images"
    return (
        f"the model has collapsed: {why}; more bits, or for a method that trains more --steps or a "
        f"lower --lr-weights, may help"
    )
