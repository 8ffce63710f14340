"""Float models by name, and weights from a file."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from vitquant.core.errors import UserError
from vitquant.models.sources import load_float
from vitquant.models.sources.from_timm import ALIASES


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def weights(tmp_path):
    """weights(architecture, **changes) → a file of random weights, some replaced."""

    def make(architecture, changes=None):
        state = timm.create_model(architecture).state_dict() | (changes or {})
        path = tmp_path / "weights.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
        return path

    return make


@pytest.mark.parametrize("alias", ALIASES)
def test_every_alias_has_a_tag_that_timm_knows(alias):
    assert ALIASES[alias].timm_name in timm.list_pretrained()
    assert timm.get_pretrained_cfg(ALIASES[alias].timm_name).num_classes == 1000


def test_a_miniature_knows_itself():
    model = load_float("swin_digits")
    assert not model.module.training
    assert (model.num_classes, model.input_size) == (10, (3, 32, 32))
    assert (model.identity.name, model.identity.tag) == ("swin_digits", "bundled")
    assert model.classes.match("seven") == 7
    assert model.identity.float_bytes < 4 * 500_000


def test_weights_from_a_file(weights):
    first = load_float("deit_tiny", weights("deit_tiny_patch16_224"))
    again = load_float("deit_tiny_patch16_224.fb_in1k", weights("deit_tiny_patch16_224"))
    assert first.identity.tag == ""
    assert first.identity.architecture == "deit_tiny_patch16_224"
    assert first.classes.ids[0] == "n01440764"
    assert first.identity.weights_sha256 != again.identity.weights_sha256


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision(half, weights, tmp_path):
    state = {n: t.to(half) for n, t in timm.create_model("vit_digits").state_dict().items()}
    save_file(state, tmp_path / "half.safetensors")
    model = load_float("vit_digits", tmp_path / "half.safetensors")
    assert {t.dtype for t in model.module.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("architecture", "head"),
    [
        ("deit_tiny_patch16_224", "head"),
        ("deit_tiny_distilled_patch16_224", "head_dist"),
        ("swin_digits", "head.fc"),
    ],
)
def test_another_class_count_names_the_option(architecture, head, weights):
    width = timm.create_model(architecture).num_features
    path = weights(architecture, {f"{head}.weight": torch.zeros(7, width)})
    with pytest.raises(UserError, match=r"--weights: .* has 7 classes.*--num-classes 7"):
        load_float(architecture, path)


def test_without_a_network_the_file_is_asked_for():
    with pytest.raises(UserError, match=r"'vit_small'.*could not be downloaded.*--weights"):
        load_float("vit_small")


def test_a_tag_that_does_not_exist():
    with pytest.raises(UserError, match=r"no tag 'nobody'; accepted: .*fb_in1k"):
        load_float("deit_tiny_patch16_224.nobody")
