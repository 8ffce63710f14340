"""Float models by name, and weights from a file."""

import warnings

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from vitquant.core.errors import UserError, VitquantWarning
from vitquant.models.sources import load_float
from vitquant.models.sources.from_miniature import weights_path
from vitquant.models.sources.from_timm import ALIASES

SIZES = {
    "vit_digits": (48, 64), "swin_digits": (64, 64), "deit_tiny_distilled_patch16_224": (64, 96),
    "beit_base_patch16_224": (64, 64), "eva02_tiny_patch14_224": (56, 84),
}  # fmt: skip


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


def test_a_prefix_is_told(tmp_path):
    state = timm.create_model("vit_digits").state_dict()
    save_file({f"module.{n}": t for n, t in state.items()}, tmp_path / "w.safetensors")
    with pytest.warns(VitquantWarning, match=r"w.safetensors: module. before the names was remov"):
        model = load_float("vit_digits", tmp_path / "w.safetensors")
    assert torch.equal(model.module.head.weight, state["head.weight"])


@pytest.mark.parametrize("count", [0, 1])
def test_few_classes(count, tmp_path):
    module = timm.create_model("vit_digits", num_classes=count).eval()
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    model = load_float("vit_digits", tmp_path / "w.safetensors", num_classes=count)
    assert (model.num_classes, model.identity.arguments) == (count, {"num_classes": count})
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(model(images), module(images))
    assert model.classes is None


def test_the_classifier_is_left_out():
    model = load_float("swin_digits", num_classes=0)
    assert (model.num_classes, model.identity.tag) == (0, "bundled")
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 96)


@pytest.mark.parametrize("name", ["vit_digits", "vit_small"])
def test_classes_that_no_weights_are_for(name):
    with pytest.raises(UserError, match=r"--num-classes: the pretrained weights of .* or 0 \(no"):
        load_float(name, num_classes=7)


@pytest.mark.parametrize("name", SIZES)
def test_another_input_size_resamples_as_timm_does(name, weights):
    size, path = SIZES[name], weights(name)
    with warnings.catch_warnings(action="error"):
        model = load_float(name, path, input_size=size)
    assert model.input_size == (3, *size)
    assert model.transform()(Image.new("RGB", (70, 50))).shape == (3, *size)
    images = torch.rand(1, 3, *size)
    again = model.adapter.rebuild(model.identity.architecture, model.identity.arguments)
    again.requires_grad_(False).load_state_dict(model.module.state_dict())
    assert torch.equal(model(images), again(images))
    if name in ("vit_digits", "swin_digits"):  # to timm, they do not say how to resample
        return
    expected = timm.create_model(
        name,
        pretrained=True,
        img_size=size,
        pretrained_cfg_overlay={"file": str(path), "custom_load": False},
    )
    expected.eval().requires_grad_(False)
    assert torch.equal(model(images), expected(images))


def test_weights_of_that_size_already(tmp_path):
    state = timm.create_model("vit_digits", img_size=64).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    model = load_float("vit_digits", tmp_path / "w.safetensors", input_size=(64, 64))
    assert torch.equal(model.module.pos_embed, state["pos_embed"])
    assert model.identity.arguments == {"img_size": 64}
    with pytest.raises(UserError, match=r"pos_embed is .*; say --input-size 64$"):
        load_float("vit_digits", tmp_path / "w.safetensors")


def test_the_own_size_changes_nothing():
    plain, sized = load_float("vit_digits"), load_float("vit_digits", input_size=(32, 32))
    assert plain.identity == sized.identity


def test_a_family_that_takes_any_size(weights):
    model = load_float("convnext_atto", weights("convnext_atto"), input_size=(64, 96))
    assert (model.input_size, model.identity.arguments) == ((3, 64, 96), {})


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("vit_digits", (30, 32), "30x32 does not suit vit_digits, whose patches are 4x4 pixels; "),
        ("maxvit_tiny_rw_224", (230, 230), "maxvit_tiny_rw_224 fails on images of 230 pixels"),
    ],
)
def test_a_size_that_cannot_be(name, size, words, tmp_path):
    with pytest.raises(UserError, match=f"^--input-size: {words}"):
        load_float(name, tmp_path, input_size=size)


def test_weights_of_another_size_of_windows(tmp_path):
    state = timm.create_model("swin_digits", window_size=8).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    words = r"relative_position_bias_table is \(225, 3\), the model needs \(49, 3\)"
    with pytest.raises(UserError, match=words):
        load_float("swin_digits", tmp_path / "w.safetensors")


def test_downloaded_weights_with_nan(monkeypatch, weights):
    path = weights("deit_tiny_patch16_224", {"norm.bias": torch.full((192,), float("nan"))})
    monkeypatch.setattr("vitquant.models.sources.from_timm.hf_hub_download", lambda *_: str(path))
    with pytest.raises(UserError, match=r"^MODEL: the weights of 'deit_tiny': norm.bias holds NaN"):
        load_float("deit_tiny")


def test_downloaded_weights_for_another_size(monkeypatch, weights):
    path = weights("deit_tiny_patch16_224")
    monkeypatch.setattr("vitquant.models.sources.from_timm.hf_hub_download", lambda *_: str(path))
    model = load_float("deit_tiny", input_size=(64, 96))
    assert model.identity.arguments == {"img_size": [64, 96]}
    local = load_float("deit_tiny", path, input_size=(64, 96))
    assert model.identity.weights_sha256 == local.identity.weights_sha256


def test_the_bundled_weights_from_another_place(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(weights_path("vit_digits").read_bytes())
    model = load_float("vit_digits", tmp_path)
    assert model.identity.weights_sha256 == load_float("vit_digits").identity.weights_sha256
