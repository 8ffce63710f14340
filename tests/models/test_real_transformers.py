"""DeiT-Tiny with transformers' names computes, quantizes and exports as with timm's."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from timm.data import ImageNetInfo
from transformers import ViTConfig

import vitquant
from vitquant.checkpoint.read import read_checkpoint
from vitquant.config.quantize import QuantizeSettings
from vitquant.data.open import Role, open_source
from vitquant.workflows.open import open_model
from vitquant.workflows.ptq import quantize

DATA = Path(__file__).parents[3] / "shared" / "data"
WEIGHTS = DATA / "deit_tiny_patch16_224.safetensors"
NAMES = {
    "attn.proj": "attention.output.dense", "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense", "norm1": "layernorm_before", "norm2": "layernorm_after",
    "cls_token": "vit.embeddings.cls_token", "pos_embed": "vit.embeddings.position_embeddings",
    "patch_embed.proj": "vit.embeddings.patch_embeddings.projection",
    "norm.": "vit.layernorm.", "head.": "classifier.", "blocks.": "vit.encoder.layer.",
}  # fmt: skip
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 248}, "resample": 3,
    "do_center_crop": True, "crop_size": {"height": 224, "width": 224},
    "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
}  # fmt: skip

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.is_file() and (DATA / "imagenet").is_dir()),
    reason="no DeiT-Tiny weights and ImageNet images beside the project",
)


def renamed(state):
    """timm's tensors of a ViT by transformers' names."""
    found = {}
    for name, tensor in state.items():
        for ours, theirs in NAMES.items():
            if ours in name and not (ours == "norm." and "blocks." in name):
                name = name.replace(ours, theirs)
        parts = tensor.chunk(3) if "attn.qkv" in name else (tensor,)
        for part, own in zip(parts, ("query", "key", "value"), strict=False):
            found[name.replace("attn.qkv", f"attention.attention.{own}")] = part.clone()
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same float model of timm and of transformers."""
    folder = tmp_path_factory.mktemp("deit")
    save_file(renamed(load_file(WEIGHTS)), folder / "model.safetensors")
    ViTConfig(
        hidden_size=192,
        num_attention_heads=3,
        intermediate_size=768,
        layer_norm_eps=1e-6,
        id2label=dict(enumerate(ImageNetInfo().label_descriptions())),
        architectures=["ViTForImageClassification"],
    ).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return open_model("deit_tiny", WEIGHTS), open_model(str(folder))


@pytest.fixture(scope="module")
def photographs(pair):
    """Those to calibrate with."""
    source, space = str(DATA / "imagenet" / "calib"), pair[0].label_space
    return open_source(source, flag="--calib", label_space=space, role=Role.CALIBRATION)


def test_they_compute_the_same(pair, photographs):
    ours, theirs = pair
    images = torch.stack([theirs.transform()(photographs.image(i)) for i in range(4)])
    assert torch.equal(images[0], ours.transform()(photographs.image(0)))
    with torch.inference_mode():
        assert torch.allclose(ours(images), theirs(images), atol=1e-5)
    assert ours.classes.ids == theirs.classes.ids
    assert ours.tokens == theirs.tokens


@pytest.mark.slow
@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
def test_they_quantize_to_the_same_integers(bits, pair, photographs, tmp_path):
    settings = QuantizeSettings.build(bits=bits, method="rtn", samples=16, init_images=16)
    kernels = []
    for model in pair:
        quantized = quantize(model, photographs, settings)
        path = tmp_path / f"{model.identity.source}.safetensors"
        quantized.save(path)
        if bits == "w8a8":
            exported = vitquant.export(path, out=path.with_suffix(".onnx")).to_json()
            assert exported["integer_kernels"] == exported["expected_integer_kernels"]
            kernels.append(exported["integer_kernels"])
    timm, transformers = (
        read_checkpoint(tmp_path / f"{source}.safetensors") for source in ("timm", "transformers")
    )
    assert len(set(kernels)) <= 1
    for own, other in zip(timm.header.layers, transformers.header.layers, strict=True):
        assert own.shape == other.shape
        codes = timm.tensors[f"{own.name}.codes"], transformers.tensors[f"{other.name}.codes"]
        assert torch.equal(*codes)
