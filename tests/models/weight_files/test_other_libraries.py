"""Whose names a file has."""

import pytest
import timm
import torch
import torchvision
import transformers

from vitquant.models.weight_files.other_libraries import recognize

SMALL = {
    "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
STAGES = {"embed_dim": 24, "depths": [1], "num_heads": [2], "image_size": 32, "window_size": 4}


def disk_names(model, folder):
    """As ``save_pretrained`` writes them."""
    from safetensors.torch import load_file

    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("family", "arguments"),
    [("vit", SMALL), ("deit", SMALL), ("beit", SMALL), ("dinov2", SMALL), ("swin", STAGES),
     ("swinv2", STAGES), ("clip_vision_model", SMALL), ("siglip_vision_model", SMALL)],
)  # fmt: skip
def test_transformers(family, arguments, tmp_path):
    config = transformers.AutoConfig.for_model(family, **arguments)
    model = transformers.AutoModel.from_config(config)
    for names in (model.state_dict(), disk_names(model, tmp_path)):
        found = recognize(names, "timm")
        assert found.startswith("the names of transformers; give MODEL the folder"), list(names)
        assert recognize(names, "transformers") is None


def test_torchvision():
    vit = torchvision.models.VisionTransformer(32, 16, 1, 12, 768, 32).state_dict()
    assert recognize(vit, "timm") == (
        "the names of torchvision; give torchvision:vit_b_16 as MODEL, with this file as --weights"
    )
    swin = torchvision.models.swin_t().state_dict()
    assert "the names of torchvision; give torchvision:NAME" in recognize(swin, "timm")
    assert recognize(swin, "torchvision") is None


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("visual.transformer.resblocks.0.attn.in_proj_weight", "open_clip and OpenAI's CLIP"),
        ("backbone.layers.0.ln1.weight", "OpenMMLab"),
        ("blocks.0.0.norm1.weight", "the original DINOv2"),
    ],
)
def test_names_alone(name, library):
    assert f"the names of {library}; " in recognize({name: torch.zeros(1)}, "timm")


@pytest.mark.parametrize("name", ["vit_digits", "swin_digits", "beit_base_patch16_224"])
def test_timm(name):
    import vitquant.models.sources  # noqa: F401 - registers the miniatures

    names = timm.create_model(name).state_dict()
    assert recognize(names, "timm") is None
    assert "the names of timm; " in recognize(names, "torchvision")


def test_nobody():
    assert recognize({"a.weight": torch.zeros(1)}, "timm") is None
