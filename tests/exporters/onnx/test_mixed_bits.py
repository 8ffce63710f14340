"""Layers and matmuls of different bits in one file."""

import pytest
import torch

from vitquant.config.targets import TARGETS
from vitquant.data.image_source import ListSource
from vitquant.data.sources.digits import digits
from vitquant.exporters.onnx.export import to_onnx
from vitquant.exporters.onnx.options import OnnxOptions, choose_weight_type
from vitquant.exporters.onnx.tensorrt_rules import broken_rules
from vitquant.exporters.runtimes.ort_runtime import OnnxModule

MIXED = {
    "vit_digits": "blocks.0=w8a8,blocks.1.mlp=w1.58a8,blocks.1.attn.qkv=w2a3,blocks.2=w3a3,"
    "blocks.1.attn.products.0=w8a3,blocks.3.mlp.fc1=w6a5,head=w2a8",
    "swin_digits": "layers.0=w8a8,layers.1.blocks.0.mlp=w1.58a8,layers.1.blocks.0.attn.qkv=w2a3,"
    "layers.1.blocks.1.attn.products.0=w8a3,layers.1.blocks.1.mlp.fc1=w3a3,head=w2a8",
}
CASES = [
    pytest.param(name, target, id=f"{name}-{target}", marks=[pytest.mark.slow] * slow)
    for name, target, slow in (
        *(("vit_digits", target, False) for target in TARGETS),
        *(("swin_digits", target, target != "onnxruntime") for target in TARGETS),
    )
]


@pytest.fixture(scope="session")
def pictures():
    """The first digits of the test part."""
    return ListSource("digits", [image for image, _ in digits("test")[:32]])


@pytest.fixture
def compared(quantized, pictures, tmp_path):
    """compared(name, target, layer_bits) → header, graph, names of integer kernels.

    Of 4 bits and mixed ones; what the file computes has been compared with the checkpoint.
    """

    def make(name, target, layer_bits):
        options = OnnxOptions(
            target=target,
            min_weight_type=choose_weight_type(None, target, "--weight-type"),
            rest="float32",
        )
        more = {"samples": 8, "init_images": 8, "target": target.name}
        model, header = quantized(name, "w4a4", layer_bits=layer_bits, **more)
        graph, path = to_onnx(model, header, options), tmp_path / "m.onnx"
        path.write_bytes(graph.SerializeToString())
        module = OnnxModule(path, model.num_classes)
        batch = torch.stack([model.transform()(pictures.image(i)) for i in range(32)])
        with torch.inference_mode():
            assert torch.equal(module(batch).argmax(1), model.module(batch).argmax(1))
        return header, graph, module.integer_kernels()

    return make


@pytest.mark.parametrize(("name", "target"), CASES)
def test_a_file_of_mixed_bits_computes_what_the_checkpoint_does(name, target, compared):
    header, graph, kernels = compared(name, TARGETS[target], MIXED[name])
    if target == "tensorrt":
        assert not broken_rules(graph)
    else:
        products = sum(product.count for product in header.products)
        assert len(kernels) == len(header.layers) + products


def test_what_has_16_bits_is_computed_in_float(compared):
    own = {"blocks.3.mlp.fc2": "w4a16", "blocks.0.attn.products": "w8a16"}
    own |= {"blocks.2.mlp.fc1": "w4i16", "blocks.1.attn.products.0": "w8i16"}
    header, _, kernels = compared("vit_digits", TARGETS["onnxruntime"], own)
    names = [layer.name for layer in header.layers if layer.activation_bits < 16]
    names += [f"blocks.{i}.attn.products.{j}" for i in range(1, 4) for j in (0, 1)]
    assert set(kernels) == set(names) - {"blocks.1.attn.products.0"}
