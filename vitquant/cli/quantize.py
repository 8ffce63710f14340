"""``vitquant quantize``."""

import resource
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from vitquant.bits import Bits, parse_bits, parse_given
from vitquant.cli import console, generation, options
from vitquant.core import distributed
from vitquant.core.errors import Interrupted, UserError
from vitquant.core.files import check_writable, remove_leftovers
from vitquant.data.image_source import ImageSource
from vitquant.methods.scheme import Scheme
from vitquant.methods.settings import Settings
from vitquant.models.model import Model
from vitquant.models.sources.from_timm import load_float
from vitquant.quantization.methods.base import METHODS, get_method
from vitquant.quantization.training.state import TrainingState
from vitquant.synthesis.image_job import GenerationOptions
from vitquant.usual_scheme import usual_scheme
from vitquant.workflows.calibration_images import (
    SYNTHETIC,
    bears_bias_correction,
    calibration_images,
)
from vitquant.workflows.open import is_checkpoint
from vitquant.workflows.quantize import Quantized, check_supports_resume
from vitquant.workflows.quantize import quantize as run

_METHODS = " ".join(f"{m.name}: {m.summary}" for m in METHODS.values())
_PLAIN = Settings(Scheme(*[Bits(8, 8)] * 3))


def quantize(
    model: options.ModelName,
    bits: Annotated[
        str,
        typer.Option(
            "--bits",
            metavar="W4A4",
            help="Bits of weights (1.58, 2-8) and activations (2-8; 16 leaves them float).",
        ),
    ],
    calib: Annotated[
        str,
        typer.Option(
            "--calib",
            metavar="SOURCE",
            help="Calibration images: synthetic (drawn from prompts that are learned first), "
            "template (drawn from texts), inversion (optimised through MODEL itself), a folder, a "
            ".tar, digits, noise, or a data set such as hfds/… that timm reads.",
        ),
    ] = "synthetic",
    generator: generation.GeneratorName = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="For --calib synthetic, prompts learned before: a file, or hf://owner/name.",
        ),
    ] = None,
    yes: generation.Yes = False,
    method: Annotated[str, typer.Option("--method", help=_METHODS)] = _PLAIN.method,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Where to write; by default MODEL-BITS.safetensors here."
        ),
    ] = None,
    weights: options.Weights = None,
    num_classes: options.NumClasses = None,
    patch_embed_bits: Annotated[
        str | None,
        typer.Option(
            metavar="W8A8",
            help="Bits of the layer that sees the image; by default w8a8, or w8a16 where --bits "
            "leaves activations float.",
        ),
    ] = None,
    head_bits: Annotated[
        str | None,
        typer.Option(metavar="W8A8", help="Bits of the classifier; by default those of --bits."),
    ] = None,
    samples: Annotated[
        int, typer.Option(metavar="N", help="Calibration images at most.")
    ] = _PLAIN.samples,
    steps: Annotated[
        int, typer.Option(metavar="N", help="Steps of joint; of each transformer block with block.")
    ] = _PLAIN.steps,
    batch_size: Annotated[
        int, typer.Option(metavar="N", help="Images in a step.")
    ] = _PLAIN.batch_size,
    seed: Annotated[int, typer.Option(metavar="N")] = _PLAIN.seed,
    rotate: Annotated[
        bool,
        typer.Option(
            "--rotate",
            help="Spread what a few channels hold over all of them first; of ViTs such as DeiT and "
            "DINOv2. The model computes the same, with less to lose by rounding.",
        ),
    ] = False,
    init_images: Annotated[
        int, typer.Option(metavar="N", help="Images for scale search and correction.")
    ] = _PLAIN.init_images,
    per_head: Annotated[
        bool,
        typer.Option(
            "--per-head/--no-per-head",
            help="Give each head's attention weights a scale of their own, or one to all heads, as "
            "most published methods do.",
        ),
    ] = _PLAIN.per_head,
    prefix_scales: Annotated[
        bool,
        typer.Option(
            "--prefix-scales/--no-prefix-scales",
            help="Quantize class tokens and registers around their own means, with scales of their "
            "own, or as patches are, as published methods do.",
        ),
    ] = _PLAIN.prefix_scales,
    prefix_bits: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Bits of activations at the places of class tokens and registers, one row of "
            "many; by default those of --bits. Kernels that multiply bytes have room for 8.",
        ),
    ] = None,
    reparameterise: Annotated[
        bool,
        typer.Option(
            "--reparameterise",
            help="With dfq: make channels behind normalisations alike first, as repq does.",
        ),
    ] = False,
    damping: Annotated[
        float, typer.Option(metavar="X", help="With dfq: how cautiously layers are corrected.")
    ] = _PLAIN.damping,
    correct_bias: Annotated[
        bool | None,
        typer.Option(
            "--correct-bias/--no-correct-bias",
            help="With dfq: correct biases too; by default unless --calib is noise or inverted "
            "images, whose means are not those of photographs.",
        ),
    ] = None,
    start: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="With joint and block: start from the scale search (search), or from corrected "
            "layers (dfq).",
        ),
    ] = _PLAIN.start,
    lr_weights: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Learning rate of weights and biases, in levels; by default 3e-3, or 5e-3 if "
            "ternary.",
        ),
    ] = None,
    lr_head: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Learning rate of the classifier's; by default 0, or --lr-weights below 3 bits.",
        ),
    ] = None,
    lr_scales: Annotated[
        float, typer.Option(metavar="X", help="Learning rate of log scales.")
    ] = _PLAIN.lr_scales,
    lr_zero_points: Annotated[
        float, typer.Option(metavar="X", help="Learning rate, in levels.")
    ] = _PLAIN.lr_zero_points,
    lr_offsets: Annotated[
        float,
        typer.Option(metavar="X", help="Learning rate of channels' offsets, in levels."),
    ] = _PLAIN.lr_offsets,
    lr_rescaling: Annotated[
        float, typer.Option(metavar="X", help="Learning rate of log factors.")
    ] = _PLAIN.lr_rescaling,
    lr_norms: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Learning rate of norms, embeddings and tokens; by default 1e-3, or 0 if ternary.",
        ),
    ] = None,
    hold: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Share of the steps at these learning rates, before they fall to 0 along half a "
            "cosine; by default 0.5, or 0 if ternary.",
        ),
    ] = None,
    feature_weight: Annotated[
        float, typer.Option(metavar="X", help="Weight of the features in the loss.")
    ] = _PLAIN.feature_weight,
    logit_weight: Annotated[
        float, typer.Option(metavar="X", help="Weight of the logits in the loss.")
    ] = _PLAIN.logit_weight,
    teacher_forcing: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Share of joint's steps in which blocks are fed the float model's features too, "
            "less and less of them; by default 0.3, or 0 if ternary.",
        ),
    ] = None,
    min_crop: Annotated[
        float,
        typer.Option(
            metavar="X", help="Smallest random crop, as a fraction of the image; 1 for none."
        ),
    ] = _PLAIN.min_crop,
    flip: Annotated[float, typer.Option(metavar="X", help="Probability of a flip.")] = _PLAIN.flip,
    color: Annotated[
        float,
        typer.Option(metavar="X", help="How far brightness, contrast and saturation may change."),
    ] = _PLAIN.color,
    mixup: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Probability that a view is blended with another; by default 0, or 0.3 if "
            "ternary.",
        ),
    ] = None,
    cutmix: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Probability that a part of a view shows another image; by default 0, or 0.5 if "
            "ternary.",
        ),
    ] = None,
    views: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Different views of each image; with a number, the float model sees each once and "
            "its outputs are kept in memory. 0: a new view every time.",
        ),
    ] = _PLAIN.views,
    accumulate: Annotated[
        int,
        typer.Option(
            metavar="N", help="Parts that a step's images are worked through in: saves memory."
        ),
    ] = _PLAIN.accumulate,
    checkpointing: Annotated[
        bool,
        typer.Option(
            "--checkpointing",
            help="Compute activations again on the way back: saves more memory, takes longer.",
        ),
    ] = False,
    precision: Annotated[
        str,
        typer.Option(
            metavar="P",
            help="Of products in training: float32, bfloat16, or auto, which takes bfloat16 where "
            "the hardware has it.",
        ),
    ] = _PLAIN.precision,
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Compile the quantizers for training; by default where a compiler is found and "
            "the run is long enough.",
        ),
    ] = None,
    allow_float: Annotated[
        bool,
        typer.Option(
            "--allow-float",
            help="Leave float what cannot be reached instead of refusing the model.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep the state of training in a file beside --out, and go on from it if it is "
            "there already.",
        ),
    ] = False,
    save_every: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="With --resume, write the state each N steps; by default each 30 seconds at most.",
        ),
    ] = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Quantize a pretrained vision transformer and write a small checkpoint.

    Prints the path of the checkpoint.
    """
    get_method(method)
    chosen = parse_bits(bits)
    settings = Settings(
        scheme=usual_scheme(
            chosen,
            parse_given(patch_embed_bits, "--patch-embed-bits"),
            parse_given(head_bits, "--head-bits"),
        ),
        method=method,
        samples=samples,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        rotate=rotate,
        init_images=init_images,
        per_head=per_head,
        prefix_scales=prefix_scales,
        prefix_bits=prefix_bits,
        reparameterise=reparameterise,
        damping=damping,
        correct_bias=bears_bias_correction(calib) if correct_bias is None else correct_bias,
        start=start,
        lr_weights=lr_weights,
        lr_head=lr_head,
        lr_scales=lr_scales,
        lr_zero_points=lr_zero_points,
        lr_offsets=lr_offsets,
        lr_rescaling=lr_rescaling,
        lr_norms=lr_norms,
        hold=hold,
        feature_weight=feature_weight,
        logit_weight=logit_weight,
        teacher_forcing=teacher_forcing,
        min_crop=min_crop,
        flip=flip,
        color=color,
        mixup=mixup,
        cutmix=cutmix,
        views=views,
        accumulate=accumulate,
        checkpointing=checkpointing,
        precision=precision,
        compile=compile,
        allow_float=allow_float,
    )
    name = options.name_or_stdin(model)
    if is_checkpoint(name):
        raise UserError(
            f"MODEL: {name} is a file, or quantized already; the name of a float model is "
            f"accepted, with --weights FILE for its weights"
        )
    path = out or Path(f"{name.replace('/', '-').replace(':', '-')}-{chosen}.safetensors")
    if distributed.is_main():
        check_writable(path)
    state = _state(path, method, resume, save_every)
    where = options.device(device)
    terminal = console.Terminal()
    opened = load_float(name, weights, num_classes)
    generating = GenerationOptions(
        generator=generator,
        prompts=prompts,
        device=where,
        confirm_duration=partial(generation.confirm_duration, yes, terminal),
    )

    def images() -> ImageSource:
        with generation.resumable() if calib in SYNTHETIC else nullcontext():
            found = calibration_images(calib, opened, samples, seed, generating, terminal)
        if found.labels is not None:
            _warn_about_few_classes(found, opened, terminal)
        _announce(opened, found, settings, where, terminal)
        return found

    try:
        quantized = run(opened, images, settings, terminal, where, state)
        size = quantized.save(path) if distributed.is_main() else 0
    except KeyboardInterrupt:
        if state is None or not state.path.exists():
            raise
        raise Interrupted(
            f"interrupted; {path} was not written; the same command goes on from {state.path}"
        ) from None
    if state is not None:
        state.remove()
    if not distributed.is_main():
        return
    _summarise(quantized, size, terminal)
    if json:
        console.result_json(_result(path, size, quantized, settings, where))
    else:
        console.result(str(path))


def _state(path: Path, method: str, resume: bool, every: int | None) -> TrainingState | None:
    """The file beside the checkpoint that a run goes on from."""
    beside = path.with_name(f".{path.name}.state")
    if not resume:
        if every is not None:
            raise UserError("--save-every: it says how often --resume writes; add --resume")
        return None
    if every is not None and every < 1:
        raise UserError(f"--save-every: {every} is too few; 1 or more")
    check_supports_resume(get_method(method))
    if distributed.is_main():
        for written in (path, beside):
            remove_leftovers(written)
    return TrainingState(beside, every)


def _warn_about_few_classes(images: ImageSource, model: Model, terminal: console.Terminal) -> None:
    seen = len({label for label in images.labels or () if label >= 0})
    if seen and seen < model.num_classes / 2:
        terminal.warn(
            f"--calib shows {seen} of {model.num_classes} classes: accuracy on those will be "
            f"flattered, on the others it will not"
        )


def _announce(
    model: Model, images: ImageSource, settings: Settings, where: str, terminal: console.Terminal
) -> None:
    scheme = settings.scheme
    own = f", class tokens a{settings.prefix_bits}" if settings.prefix_bits else ""
    used = min(get_method(settings.method).samples(settings), len(images))
    terminal.say(
        f"{model.identity.name} to {scheme.bits} (patch embedding {scheme.patch_embed}, head "
        f"{scheme.head}{own}) by {settings.method} on {options.place(where)}, {used} images of "
        f"{images.name}"
    )
    if get_method(settings.method).is_trained:
        terminal.say(
            f"{settings.steps} steps of {settings.batch_size} images; the time left is shown once "
            f"the first steps are done"
        )


def _summarise(quantized: Quantized, size: int, terminal: console.Terminal) -> None:
    float_bytes = quantized.model.identity.float_bytes
    terminal.say(
        f"{size / 1e6:.2f} MB, float {float_bytes / 1e6:.2f} MB ({float_bytes / size:.1f} times "
        f"smaller), {quantized.fidelity}, {quantized.seconds:.0f} s"
    )
    if quantized.fidelity.collapsed:
        terminal.warn(
            f"the model has collapsed: it agrees with the float one on fewer than "
            f"{quantized.fidelity.floor:.0%} of the images; more bits, or for a method that trains "
            f"more --steps or a lower --lr-weights, may help"
        )


def _result(
    path: Path, size: int, quantized: Quantized, settings: Settings, where: str
) -> dict[str, Any]:
    header = quantized.header
    return {
        "output": str(path),
        "model": quantized.model.identity.name,
        "float_model": header.model,
        "bits": header.bits,
        "method": settings.method,
        "calib": header.settings["calib"],
        "samples": quantized.samples,
        "agreement": quantized.fidelity.agreement,
        "cosine": quantized.fidelity.cosine,
        "steps": settings.steps if get_method(settings.method).is_trained else 0,
        "seed": settings.seed,
        "seconds": round(quantized.seconds, 3),
        "processes": distributed.world_size(),
        "peak_memory_bytes": _peak_memory(where),
        "bytes": size,
        "float_bytes": quantized.model.identity.float_bytes,
        "settings": header.settings,
        "versions": header.versions,
        "float_parts": header.unreached,
        "history": quantized.history,
    }


def _peak_memory(where: str) -> int:
    if where.startswith("cuda"):
        return torch.cuda.max_memory_allocated(where)
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
