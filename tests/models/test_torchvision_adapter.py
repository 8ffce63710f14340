"""torchvision's networks go through the whole chain."""

import pytest
import torch
from torch import nn

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.core.errors import UserError
from vitquant.evaluation.agreement import compare_outputs
from vitquant.exporters.noise_floor import perturb_accumulation
from vitquant.exporters.onnx.export import to_onnx
from vitquant.exporters.onnx.qdq import int32_bias
from vitquant.exporters.runtimes.ort_runtime import OnnxModule
from vitquant.exporters.runtimes.registry import open_exported
from vitquant.models.torchvision_adapter import TORCHVISION, build
from vitquant.quantization.layers.base import IntLayer
from vitquant.workflows.ptq import quantize

ARCHITECTURES = ("vit_small", "swin_small", "swin_v2_small")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_rewritten_network_computes_the_same(architecture, make_torchvision, batch):
    model = make_torchvision(architecture)
    original = build(architecture, {"num_classes": 10})
    assert not any(isinstance(m, nn.MultiheadAttention) for m in model.module.modules())
    state = model.module.state_dict()
    for name, module in original.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            for kind in ("weight", "bias"):
                state[f"{name}.in_proj_{kind}"] = state.pop(f"{name}.qkv.{kind}")
    original.load_state_dict(state)
    with torch.inference_mode():
        assert torch.allclose(model(batch), original(batch), atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_are_what_the_classifier_saw(architecture, make_torchvision, batch):
    model = make_torchvision(architecture)
    assert model.num_classes == 10
    logits, seen = model.features(batch)
    (name,) = model.classifier_names
    assert torch.equal(logits, model(batch))
    assert torch.equal(model.module.get_submodule(name)(seen), logits)


def test_tokens_of_a_vit(make_torchvision):
    tokens = make_torchvision("vit_small").tokens
    assert (tokens.class_tokens, tokens.registers, tokens.patches) == (1, 0, 16)
    assert tokens.pools_class
    assert make_torchvision("swin_small").tokens.num_prefix_tokens == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_a_classifier(architecture, make_torchvision, images, settings):
    model = make_torchvision(architecture, num_classes=0)
    assert (model.num_classes, model.classifier_names) == (0, set())
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 48)
    assert quantize(model, images, settings("w8a8")).fidelity.cosine > 0.99


@pytest.mark.parametrize("method", ["rtn", "repq", "dfq", "joint", "block"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_method_and_back(
    architecture, method, make_torchvision, images, settings, batch, tmp_path
):
    model = make_torchvision(architecture)
    quantized = quantize(model, images, settings("w8a8", method))
    header = quantized.header
    assert not header.unreached
    blocks = sum(record.count for record in header.products) // 2
    others = 2 if architecture == "vit_small" else 3  # a Swin merges patches once
    assert len(header.layers) == 4 * blocks + others
    assert header.versions["torchvision"]

    path = tmp_path / "model.safetensors"
    quantized.save(path)
    restored = restore(read_checkpoint(path))
    with torch.inference_mode():
        assert torch.equal(restored(batch), quantized.model(batch))
    assert restored.adapter is TORCHVISION
    assert restored.identity == model.identity
    assert restored.num_classes == 10


def test_the_residual_stream_can_be_rotated(make_torchvision, images, settings):
    model = make_torchvision("vit_small")
    quantized = quantize(model, images, settings("w8a8", rotate=True))
    assert quantized.fidelity.agreement == 1


def test_a_swin_has_no_stream_to_rotate(make_torchvision, images, settings):
    with pytest.raises(UserError, match="--rotate: swin_small is not a ViT"):
        quantize(make_torchvision("swin_small"), images, settings("w8a8", rotate=True))


@pytest.mark.slow
@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_of_it_runs_on_integer_kernels(
    architecture, bits, make_torchvision, images, settings, batch, tmp_path
):
    run = quantize(make_torchvision(architecture), images, settings(bits))
    for layer in run.model.module.modules():
        # Whole numbers of the accumulator's units, as the file holds them.
        if isinstance(layer, IntLayer) and (found := int32_bias(layer)) is not None:
            layer.bias.copy_(torch.from_numpy((found[0] * found[1]).astype("float32")))
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(run.model, run.header).SerializeToString())
    products = len(run.header.layers) + sum(record.count for record in run.header.products)
    assert len(OnnxModule(path).integer_kernels()) == products
    expected, opened = run.model(batch), open_exported(path)
    again = []
    for seed in range(4):
        with perturb_accumulation(run.model.module, seed):
            again.append(run.model(batch))
    own = max(compare_outputs(expected, other, 10).difference for other in again)
    assert compare_outputs(expected, opened(batch), 10).difference < max(1e-5, 2 * own)


def test_an_architecture_that_is_gone():
    with pytest.raises(UserError, match="has no 'vit_q_16'; a torchvision that has it"):
        TORCHVISION.rebuild("vit_q_16", {})
