"""How fast exported files run, beside what else the runtimes offer for the same model.

    pip install openvino nncf
    OMP_NUM_THREADS=2 python tests/benchmarks/runtimes.py deit_tiny --weights … --calib … *.onnx

All run in this process, in turn, one image at a time, so that what disturbs one disturbs all. The
others are the float model in ONNX Runtime and in OpenVINO, the W8A8 model that ONNX Runtime's
``quantize_static`` makes of it, and the int8 model that NNCF makes of it for OpenVINO.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import nncf
import numpy as np
import onnx
import openvino
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from vitquant.core.errors import UserError
from vitquant.data.loader import load_batches, stratified_sample
from vitquant.data.open import Role, open_source
from vitquant.exporters.onnx.trace import INPUT, trace
from vitquant.exporters.runtimes.openvino_runtime import OpenVinoModule
from vitquant.exporters.runtimes.ort_runtime import OnnxModule
from vitquant.exporters.runtimes.registry import open_exported
from vitquant.models.model import Model
from vitquant.models.sources import load_float

_OPSET = 21
Runner = Callable[[torch.Tensor], torch.Tensor]


def main() -> None:
    options = _parse()
    torch.set_num_threads(options.threads)
    model = load_float(options.model, options.weights)
    images = _images(model, options.calib, options.images)
    with tempfile.TemporaryDirectory() as folder:
        runners = dict(_others(model, images, Path(folder)))
        runners |= _ours(options.files)
        seconds = _in_turn({name: runner for name, (runner, _) in runners.items()}, images, options)
    expected = model.module(images).argmax(-1)
    # What else a machine does makes runs longer, never shorter.
    times = {name: min(values) for name, values in seconds.items()}
    base = times["float, ONNX Runtime"]
    print(f"{options.model}, batch 1, {options.threads} threads, {options.repeats} runs each")
    print(
        f"{'':44} {'MB':>7} {'best ms':>8} {'median':>7} {'speed':>6} {'agreement with float':>21}"
    )
    for name, (runner, size) in runners.items():
        found = torch.cat([runner(image[None]) for image in images]).argmax(-1)
        same = float((found == expected).double().mean())
        print(
            f"{name:44} {size / 1e6:7.2f} {1e3 * times[name]:8.2f} "
            f"{1e3 * median(seconds[name]):7.2f} {base / times[name]:6.2f} {same:21.1%}"
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("files", type=Path, nargs="+", help="written by vitquant export")
    parser.add_argument("--weights", type=Path, help="the float model's")
    parser.add_argument("--calib", required=True, help="images for the others' calibration")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=50)
    return parser.parse_args()


def _images(model: Model, source: str, count: int) -> torch.Tensor:
    images = open_source(
        source, flag="--calib", label_space=model.label_space, role=Role.CALIBRATION, limit=count
    )
    chosen = stratified_sample(images, count, 0)
    return torch.cat([batch for batch, _ in load_batches(images, chosen, model.transform(), count)])


class _Reader(CalibrationDataReader):
    """Calibration images, one at a time."""

    def __init__(self, images: torch.Tensor) -> None:
        self._rest = iter(images.split(1))

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._rest, None)
        return None if image is None else {INPUT: image.numpy()}


def _others(
    model: Model, images: torch.Tensor, folder: Path
) -> Iterator[tuple[str, tuple[Runner, int]]]:
    plain, prepared, static = (folder / f"{name}.onnx" for name in ("float", "prepared", "static"))
    graph = trace(model.module, torch.zeros(2, *model.input_size), {0: "batch"}, _OPSET, "logits")
    onnx.save(graph, plain)
    yield "float, ONNX Runtime", (OnnxModule(plain), plain.stat().st_size)
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(static),
        _Reader(images),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    yield "quantize_static W8A8, ONNX Runtime", (OnnxModule(static), static.stat().st_size)
    yield "float, OpenVINO", (OpenVinoModule(plain, 0), plain.stat().st_size)
    data = nncf.Dataset([image.numpy() for image in images.split(1)])
    quantized = nncf.quantize(
        openvino.Core().read_model(str(plain)),
        data,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(images),
    )
    openvino.save_model(quantized, str(folder / "nncf.xml"), compress_to_fp16=False)
    size = (folder / "nncf.bin").stat().st_size
    yield "NNCF int8, OpenVINO", (OpenVinoModule(folder / "nncf.xml", 0), size)


def _ours(files: list[Path]) -> Iterator[tuple[str, tuple[Runner, int]]]:
    for path in files:
        size = path.stat().st_size
        for label, runtime in (("ONNX Runtime", "onnxruntime"), ("OpenVINO", "openvino")):
            try:
                opened = open_exported(path, runtime)
            except UserError as error:
                print(error)
                continue
            yield f"{path.name}, {label}", (opened.module, size)


def _in_turn(
    runners: dict[str, Runner], images: torch.Tensor, options: argparse.Namespace
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for repeat in range(options.repeats + 3):
        image = images[repeat % len(images)][None]
        for name, runner in runners.items():
            # Threads of the one before it may still be spinning, waiting for work.
            runner(image)
            start = time.perf_counter()
            runner(image)
            if repeat > 2:
                seconds[name].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    with torch.inference_mode():
        main()
