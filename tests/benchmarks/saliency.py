"""Quantize a whole saliency network, compare its maps with the float one's, and append rows.

    python tests/benchmarks/saliency.py --data ../shared/data --out docs/results/saliency.csv \
        --methods rtn joint --bits w8a8 w4a8 w4a4

The backbone is quantized and the decoder stays float. Runs that the file holds already, from the
same commit, are not repeated.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from rows import Row, append, provenance, read
from saliency_network import TRANSFORM, SaliencyNetwork, load
from torch import Tensor, nn

import vitquant
from vitquant.data.loader import load_batches
from vitquant.exporters.runtimes.registry import open_exported
from vitquant.models.model import Model
from vitquant.models.sources.from_module import from_module

TRAINED = ("joint", "block")
KEEP_FLOAT = "decoder"
BATCH = 8
SALIENT = 0.5


def main() -> None:
    options = _parse()
    common = provenance() | {"model": "saliency", "data": "imagenet/val"}
    network = load(options.data / "models")
    images = _validation(options.data, options.eval_images)
    expected: Tensor | None = None
    for run in _runs(options):
        row = common | run | {"images": str(len(images)), "samples": str(options.images)}
        if any(
            all(old[key] == row[key] for key in row if key != "date") for old in read(options.out)
        ):
            continue
        print(*row.values(), file=sys.stderr, flush=True)
        if expected is None:
            start, floats = time.monotonic(), from_module(network, TRANSFORM).to(options.device)
            expected = torch.cat(list(_maps(floats, images, options.device)))
            _say("float maps", time.monotonic() - start)
        append(options.out, row | _measure(run, options, network, images, expected))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of models/ and images")
    parser.add_argument("--out", type=Path, required=True, help="CSV file that gets the rows")
    parser.add_argument("--methods", nargs="+", default=["rtn"])
    parser.add_argument("--bits", nargs="+", default=["w8a8"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=800, help="of methods that train")
    parser.add_argument("--images", type=int, default=500, help="photographs to calibrate on")
    parser.add_argument("--eval-images", type=int, help="to compare maps on; by default all")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def _runs(options: argparse.Namespace) -> Iterator[Row]:
    for seed, bits, method in product(options.seeds, options.bits, options.methods):
        yield {
            "calib": "photos",
            "options": f"--keep-float {KEEP_FLOAT}",
            "seed": str(seed),
            "steps": str(options.steps) if method in TRAINED else "0",
            "method": method,
            "bits": bits,
        }


class Files:
    """Images by their paths. labels: none."""

    labels = None

    def __init__(self, name: str, paths: list[Path]) -> None:
        if not paths:
            raise SystemExit(f"--data: no images of {name}")
        self.name, self.paths, self.skipped = name, paths, {}

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, i: int) -> Image.Image:
        with Image.open(self.paths[i]) as image:
            return image.convert("RGB")


def _photographs(data: Path, count: int) -> Files:
    """Every ninth file, so that every source of photographs is there."""
    return Files("photos", sorted((data / "photos").glob("*/*.jpg"))[::9][:count])


def _validation(data: Path, count: int | None) -> Files:
    """All, or as many spread over the classes."""
    paths = sorted((data / "imagenet" / "val").glob("*/*.JPEG"))
    step = 1 if count is None else max(1, len(paths) // count)
    return Files("imagenet/val", paths[::step][:count])


def _measure(
    run: Row, options: argparse.Namespace, network: nn.Module, images: Files, expected: Tensor
) -> dict[str, object]:
    training = {"steps": int(run["steps"])} if run["method"] in TRAINED else {}
    quantized = vitquant.quantize(
        network,
        run["bits"],
        _photographs(options.data, options.images),
        method=run["method"],
        samples=options.images,
        seed=int(run["seed"]),
        keep_float=KEEP_FLOAT,
        transform=TRANSFORM,
        build=SaliencyNetwork,
        device=options.device,
        **training,
    )
    _say("quantized", quantized.seconds)
    found = _compared(quantized.model.to(options.device), images, expected, options.device)
    quantized.model.to("cpu")
    with TemporaryDirectory() as folder:
        size = quantized.save(Path(folder) / "saliency.safetensors")
        path, start = Path(folder) / "saliency.onnx", time.monotonic()
        exported = vitquant.export(quantized, path, images=4).to_json()
        _say("exported", time.monotonic() - start)
        onnx = _compared(open_exported(path), images, expected, "cpu")
    return (
        found
        | {f"onnx_{name}": value for name, value in onnx.items()}
        | {
            "integer_kernels": exported["integer_kernels"],
            "expected_integer_kernels": exported["expected_integer_kernels"],
            "bytes": size,
            "float_bytes": quantized.model.identity.float_bytes,
            "onnx_bytes": exported["bytes"],
            "seconds": round(quantized.seconds),
        }
    )


@torch.inference_mode()
def _maps(model: Model, images: Files, device: str) -> Iterator[Tensor]:
    """Maps (B, 1, H, W), a batch at a time."""
    for batch, _ in load_batches(images, range(len(images)), model.transform(), BATCH):
        yield model(batch.to(device)).cpu()


def _compared(model: Model, images: Files, expected: Tensor, device: str) -> dict[str, float]:
    """Means over the images: the absolute error of the map, and the overlap of what is salient."""
    start, errors, overlaps = time.monotonic(), [], []
    for found, wanted in zip(_maps(model, images, device), expected.split(BATCH), strict=True):
        errors.append((found - wanted).abs().mean((1, 2, 3)))
        overlaps.append(_overlap(found > SALIENT, wanted > SALIENT))
    _say("compared", time.monotonic() - start)
    values = {"mae": torch.cat(errors), "iou": torch.cat(overlaps)}
    return {name: round(value.double().mean().item(), 6) for name, value in values.items()}


def _overlap(found: Tensor, wanted: Tensor) -> Tensor:
    """(B,): pixels of both masks (B, 1, H, W) over those of either; 1 where both are empty."""
    both, either = (mask.sum((1, 2, 3)) for mask in (found & wanted, found | wanted))
    return torch.where(either == 0, 1.0, both / either.clamp_min(1))


def _say(what: str, seconds: float) -> None:
    print(f"{what} in {seconds:.1f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
