"""Small quantized models and the files that they are exported to."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto

from vitquant.checkpoint.header import Header
from vitquant.config.groups.training import TRAINED
from vitquant.config.quantize import QuantizeSettings
from vitquant.config.targets import DEFAULT_TARGET, TARGETS
from vitquant.config.values import MINIATURES
from vitquant.data.sources.noise import SmoothNoiseSource
from vitquant.exporters.onnx.export import to_onnx
from vitquant.exporters.onnx.options import OnnxOptions
from vitquant.exporters.onnx.qdq import int32_bias
from vitquant.models.model import Model
from vitquant.quantization.layers.base import IntLayer
from vitquant.workflows.open import open_model
from vitquant.workflows.ptq import quantize


class Exported(NamedTuple):
    """A quantized model in PyTorch, and what it was exported to."""

    model: Model
    header: Header
    graph: ModelProto
    path: Path

    def tensor(self, name: str) -> np.ndarray:
        """An initializer of the graph."""
        return onnx.numpy_helper.to_array(self.proto(name))

    def proto(self, name: str):
        return next(t for t in self.graph.graph.initializer if t.name == name)


def whole_biases(network) -> None:
    """Make biases whole numbers of the accumulator's units, which is what a file holds: then
    nothing but the order of sums distinguishes it from PyTorch."""
    for layer in network.modules():
        if isinstance(layer, IntLayer) and (found := int32_bias(layer)) is not None:
            layer.bias.copy_(torch.from_numpy((found[0] * found[1]).astype(np.float32)))


@pytest.fixture(scope="session")
def pictures():
    """Eight smooth pictures."""
    return SmoothNoiseSource(8, (32, 32))


@pytest.fixture
def batch(pictures, make_small):
    """(8, 3, 32, 32): the pictures as a small model sees them."""
    transform = make_small("vit").transform()
    return torch.stack([transform(pictures.image(i)) for i in range(8)])


@pytest.fixture
def quantized(make_small, pictures):
    """quantized(name, bits, method, **settings) → (model, header) with whole biases.

    name: of a family, or of a miniature.
    """

    def make(family="vit", bits="w4a4", method="rtn", **settings):
        brief = {"samples": 4, "init_images": 2}
        if method in TRAINED["method"]:
            brief |= {"steps": 2, "batch_size": 2, "stored_rescaling": True}
        chosen = QuantizeSettings.build(bits=bits, method=method, **(brief | settings))
        model = open_model(family) if family in MINIATURES else make_small(family)
        run = quantize(model, pictures, chosen)
        whole_biases(run.model.module)
        return run.model, run.header

    return make


@pytest.fixture(scope="session")
def _done():
    return {}


@pytest.fixture
def exported(quantized, tmp_path_factory, _done):
    """exported(family, bits, method, **options) → Exported; each is made once."""

    def make(
        family="vit",
        bits="w4a4",
        method="rtn",
        per_head=True,
        prefix_scales=True,
        prefix_bits=None,
        patch_embed_bits=None,
        head_bits=None,
        **options,
    ) -> Exported:
        own = {
            "prefix_bits": prefix_bits,
            "patch_embed_bits": patch_embed_bits,
            "head_bits": head_bits,
        }
        if not bits.endswith("16"):
            target = options.get("target", TARGETS[DEFAULT_TARGET])
            own |= {
                "target": target.name,
                "per_head": per_head and target.head_scales,
                "prefix_scales": prefix_scales and target.prefix_scales,
            }
        key = (family, bits, method, *own.values(), *options.items())
        if key not in _done:
            model, header = quantized(family, bits, method, **own)
            graph = to_onnx(model, header, OnnxOptions(**options))
            path = tmp_path_factory.mktemp("exported") / f"{family}.onnx"
            path.write_bytes(graph.SerializeToString())
            _done[key] = Exported(model, header, graph, path)
        return _done[key]

    return make
