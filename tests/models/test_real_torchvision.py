"""DeiT-Tiny as torchvision's ViT, where a copy of its weights and of ImageNet lie beside us."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vitquant.config.quantize import QuantizeSettings
from vitquant.data.loader import load_batches
from vitquant.data.open import Role, open_source
from vitquant.exporters.onnx.export import to_onnx
from vitquant.exporters.runtimes.ort_runtime import OnnxModule
from vitquant.workflows.open import open_model
from vitquant.workflows.ptq import quantize

DATA = Path(__file__).parents[3] / "shared" / "data"
WEIGHTS = DATA / "deit_tiny_patch16_224.safetensors"
IMAGES = 96

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (WEIGHTS.is_file() and (DATA / "imagenet").is_dir()),
        reason="no DeiT-Tiny weights and ImageNet images beside the project",
    ),
]

# From timm's names to torchvision's.
RENAMED = {
    "cls_token": "class_token",
    "pos_embed": "encoder.pos_embedding",
    "patch_embed.proj": "conv_proj",
    "blocks.": "encoder.layers.encoder_layer_",
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attn.qkv.": "self_attention.in_proj_",
    "attn.proj": "self_attention.out_proj",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.3",
    "head.": "heads.head.",
}


def renamed(name):
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return name.replace("norm.", "encoder.ln.") if name.startswith("norm.") else name


@pytest.fixture
def deit():
    return open_model("deit_tiny", WEIGHTS)


@pytest.fixture
def converted(deit, make_torchvision):
    """The same weights in torchvision's network, with the same preprocessing."""
    state = {renamed(name): tensor for name, tensor in load_file(WEIGHTS).items()}
    model = make_torchvision(
        "vit_small", state, image_size=224, patch_size=16, num_layers=12, num_heads=3,
        hidden_dim=192, mlp_dim=768, num_classes=1000,
    )  # fmt: skip
    return replace(model, preprocessing=deit.preprocessing, classes=deit.classes)


def images_of(part, model, role):
    where = str(DATA / "imagenet" / part)
    return open_source(where, flag="--data", label_space=model.label_space, role=role)


@pytest.fixture
def validation(deit):
    """(IMAGES, 3, 224, 224), spread over the set, and labels."""
    source = images_of("val", deit, Role.EVALUATION)
    indices = [i * len(source) // IMAGES for i in range(IMAGES)]
    return next(load_batches(source, indices, deit.transform(), IMAGES))


@torch.inference_mode()
def logits(model, images):
    return torch.cat([model(part) for part in images.split(32)])


def test_float_outputs_are_those_of_timm(deit, converted, validation):
    images = validation[0][:32]
    assert torch.allclose(logits(converted, images), logits(deit, images), atol=1e-5)


@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
def test_it_quantizes_as_timms_does(bits, deit, converted, validation, tmp_path):
    images, labels = validation
    settings = QuantizeSettings.build(
        bits=bits, method="rtn", samples=32, init_images=16, patch_embed_bits="w8a8"
    )
    right, kernels = [], []
    for name, model in (("timm", deit), ("torchvision", converted)):
        run = quantize(model, images_of("calib", deit, Role.CALIBRATION), settings)
        right.append(int((logits(run.model, images).argmax(-1) == labels).sum()))
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(to_onnx(run.model, run.header).SerializeToString())
        kernels.append(len(OnnxModule(path).integer_kernels()))
    assert abs(right[0] - right[1]) <= 1
    # In each block four layers and two matmuls; the patch embedding and the classifier.
    assert kernels == [12 * 6 + 2] * 2
