"""What a joint step costs beside the same distillation step with the quantizers switched off.

    python tests/benchmarks/step.py --model deit_tiny_patch16_224 --batch-size 32

Both run in this process, in turn, on random weights and images. The distillation step is teacher
forward, student forward and backward, and update; its student is the float model itself. The
peak memory of each is taken in a process of its own.
"""

import argparse
import copy
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import timm
import torch
from torch import nn

from vitquant.config.quantize import QuantizeSettings
from vitquant.core.progress import Silent
from vitquant.models.sources.from_timm_module import from_timm_module
from vitquant.quantization.graph.observe import observe
from vitquant.quantization.graph.points import QuantizationPoints, find_points
from vitquant.quantization.ptq.bit_assignment import assign_bits
from vitquant.quantization.ptq.calibrate import calibrate
from vitquant.quantization.ptq.prepare import add_rescaling, prepare
from vitquant.quantization.training.features import capture_features
from vitquant.quantization.training.losses import feature_loss, logit_loss
from vitquant.quantization.training.optimizer import build_optimizer
from vitquant.quantization.training.precision import StepPrecision, choose_precision
from vitquant.quantization.transforms.folding import find_folds


def main() -> None:
    options = _parse()
    if options.only:
        print(json.dumps(_memory(options)))
        return
    settings, precision, images = _setting(options)
    teacher, points, students = _models(options, settings, images)
    steps = {
        name: _step(student, teacher, points, precision, images, optimizer)
        for name, (student, optimizer) in students.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    with precision.compiled_quantizers(nn.ModuleList(s for s, _ in students.values())):
        for repeat in range(options.repeats + 2):
            for name, step in steps.items():
                start = time.perf_counter()
                step()
                _wait(precision)
                if repeat > 1:
                    seconds[name].append(time.perf_counter() - start)
    times = {name: median(values) for name, values in seconds.items()}
    memory = {name: _measured_apart(name) for name in steps}
    print(f"{options.model}, batch {options.batch_size}, {options.bits}, {precision}")
    for name in steps:
        rate = options.batch_size / times[name]
        print(f"{name:10} {times[name]:.3f} s  {rate:6.1f} images/s  {memory[name] / 1e9:.2f} GB")
    ratios = (values["quantized"] / values["float"] for values in (times, memory))
    print("quantized / float: time {:.2f}, memory {:.2f}".format(*ratios))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="deit_tiny_patch16_224")
    parser.add_argument("--bits", default="w4a4")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", choices=("float", "quantized"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _setting(options: argparse.Namespace) -> tuple[QuantizeSettings, StepPrecision, torch.Tensor]:
    settings = QuantizeSettings.build(
        bits=options.bits,
        patch_embed_bits="w8a8",
        precision=options.precision,
        compile=False if options.no_compile else None,
    )
    precision = choose_precision(settings, torch.device(options.device), Silent())
    size = timm.get_pretrained_cfg(options.model).input_size
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(options.batch_size, *size, generator=generator)
    return settings, precision, images.to(options.device)


def _models(
    options: argparse.Namespace, settings: QuantizeSettings, images: torch.Tensor
) -> tuple[nn.Module, QuantizationPoints, dict[str, tuple[nn.Module, torch.optim.Adam]]]:
    torch.manual_seed(0)
    module = timm.create_model(options.model)
    model = from_timm_module(module).to(options.device)
    teacher = model.module
    points = find_points(teacher, images[:2], model.tokens)
    student = copy.deepcopy(teacher).requires_grad_(True)
    students = {"float": (student, torch.optim.Adam(student.parameters(), lr=1e-6, fused=True))}
    if options.only != "float":
        bits = assign_bits(settings.assignment, model.classifier_names, points)
        quantized = prepare(teacher, points, bits, settings)
        add_rescaling(quantized, find_folds(teacher, images[:1], points))
        calibrate(quantized, observe(teacher, images[:2], points, 0))
        students["quantized"] = quantized, build_optimizer(quantized, settings)
    if options.checkpointing:
        for student, _ in students.values():
            student.set_grad_checkpointing(True)
    return teacher, points, students


def _step(
    student: nn.Module,
    teacher: nn.Module,
    points: QuantizationPoints,
    precision: StepPrecision,
    images: torch.Tensor,
    optimizer: torch.optim.Adam,
) -> Callable[[], None]:
    def step() -> None:
        with (
            capture_features(teacher, points.blocks) as t,
            capture_features(student, points.blocks) as s,
        ):
            with precision.autocast():
                with torch.no_grad():
                    target = t(images)
                output = s(images)
                loss = feature_loss(output, target) + logit_loss(output, target, True)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return step


def _memory(options: argparse.Namespace) -> int:
    settings, precision, images = _setting(options)
    teacher, points, students = _models(options, settings, images)
    student, optimizer = students[options.only]
    with precision.compiled_quantizers(student):
        step = _step(student, teacher, points, precision, images, optimizer)
        for _ in range(3):
            step()
    return _peak(precision)


def _peak(precision: StepPrecision) -> int:
    if precision.device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _measured_apart(name: str) -> int:
    command = [sys.executable, *sys.argv, "--only", name]
    return int(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))


def _wait(precision: StepPrecision) -> None:
    if precision.device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
