"""The miniature models as timm sees them, and the weights that come with them."""

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from timm.data import create_transform, resolve_model_data_config
from timm.models.swin_transformer import PatchMerging, SwinTransformer
from timm.models.vision_transformer import VisionTransformer

from vitquant.data.sources.digits import CLASS_NAMES, digits
from vitquant.models.sources.from_miniature import NAMES, weights_path


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_miniature_and_maps_images_to_ten_classes(name):
    model = timm.create_model(name).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) < 500_000
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert timm.create_model(name, num_classes=4)(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


@pytest.mark.parametrize("name", NAMES)
def test_timm_knows_how_to_prepare_an_image(name):
    model = timm.create_model(name)
    config = resolve_model_data_config(model)
    assert config["input_size"] == (3, 32, 32)
    assert config["interpolation"] == "bicubic"
    assert config["crop_pct"] == 1.0
    assert model.pretrained_cfg["num_classes"] == 10
    assert tuple(model.pretrained_cfg["label_names"]) == CLASS_NAMES


def test_the_vit_has_a_class_token():
    model = timm.create_model("vit_digits")
    assert isinstance(model, VisionTransformer)
    assert model.cls_token is not None
    assert model.patch_embed.num_patches == 64


def test_the_swin_shifts_windows_in_both_stages_and_merges_patches_between():
    model = timm.create_model("swin_digits")
    assert isinstance(model, SwinTransformer)
    shifts = [[block.shift_size for block in stage.blocks] for stage in model.layers]
    assert shifts == [[(0, 0), (2, 2)], [(0, 0), (2, 2)]]
    assert sum(isinstance(module, PatchMerging) for module in model.modules()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_bundled_weights_are_as_accurate_as_they_say(name):
    model = timm.create_model(name).eval()
    state = load_file(weights_path(name))
    model.load_state_dict(state, strict=True)
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}

    prepare = create_transform(**resolve_model_data_config(model))
    images, labels = zip(*digits("test"), strict=True)
    with torch.inference_mode():
        predicted = model(torch.stack([prepare(image) for image in images])).argmax(dim=-1)
    top1 = (predicted == torch.tensor(labels)).float().mean().item()

    with safe_open(weights_path(name), framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["model"], metadata["test_images"]) == (name, "500")
    # Another machine may round one image over the edge.
    assert top1 == pytest.approx(float(metadata["top1"]), abs=0.0021)
    assert top1 >= 0.97


@pytest.mark.parametrize("name", NAMES)
def test_timm_finds_the_bundled_weights_by_itself(name):
    model = timm.create_model(name, pretrained=True)
    state = load_file(weights_path(name))
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_an_unknown_name_has_no_weights():
    with pytest.raises(ValueError, match="vit_digits, swin_digits"):
        weights_path("resnet50")
