"""torchvision's models by name, with local weights."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from vitquant.core.errors import UserError
from vitquant.models.adapter import ModelAdapter
from vitquant.models.sources import from_torchvision, load_float
from vitquant.models.sources.from_torchvision import NAMES, preprocessing

PRETRAINED = [w for name in NAMES for w in torchvision.models.get_model_weights(name)]


@pytest.fixture
def weights(tmp_path):
    """weights(changes, without=(), **arguments) → a file of random weights of a ``swin_t``."""

    def make(changes=None, without=(), architecture="swin_t", **arguments):
        state = torchvision.models.get_model(architecture, **arguments).state_dict()
        state = {n: t for n, t in state.items() if n not in without} | (changes or {})
        path = tmp_path / "weights.safetensors"
        save_file(state, path)
        return path

    return make


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_known_and_asks_for_weights(name):
    with pytest.raises(UserError) as caught:
        load_float(f"torchvision:{name}")
    assert "\n" not in str(caught.value)
    assert f"get_model('{name}', weights='" in str(caught.value)
    assert "--weights" in str(caught.value)


def test_the_line_that_converts_runs(tmp_path, monkeypatch):
    """Where nothing is downloaded: it fails for that, behind all that could be misspelt."""
    with pytest.raises(UserError) as caught:
        load_float("torchvision:swin_t")
    code = str(caught.value).partition('python -c "')[2].rstrip('"')
    code = code.replace("weights='IMAGENET1K_V1'", "weights=None")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert load_float("torchvision:swin_t", tmp_path / "swin_t.safetensors").num_classes == 1000


def test_weights_from_a_file(weights):
    path = weights()
    model = load_float("torchvision:swin_t", path)
    assert not model.module.training
    assert model.identity.source == "torchvision"
    assert (model.identity.architecture, model.identity.tag) == ("swin_t", "")
    assert model.classes.ids[0] == "n01440764"
    assert model.classes.match("tench") == 0
    assert model.input_size == (3, 224, 224)
    assert (
        model.identity.weights_sha256
        == load_float("torchvision:swin_t", path).identity.weights_sha256
    )
    assert from_torchvision.load("torchvision:swin_t", path).preprocesses_like(model)


def test_other_classes_and_none(weights):
    path = weights(num_classes=7)
    with pytest.raises(UserError, match=r"--weights: .* has 7 classes.*--num-classes 7"):
        load_float("torchvision:swin_t", path)
    model = load_float("torchvision:swin_t", path, 7)
    assert (model.num_classes, model.classes) == (7, None)


def test_older_names_of_a_vit(weights):
    """Those of the published files."""
    path = weights(architecture="vit_b_32", num_classes=3)
    state = torchvision.models.vit_b_32(num_classes=3).state_dict()
    older = {
        n.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): t
        for n, t in state.items()
    }
    save_file(older, path)
    module = load_float("torchvision:vit_b_32", path, 3).module
    assert torch.equal(
        module.encoder.layers[0].mlp[3].weight,
        older["encoder.layers.encoder_layer_0.mlp.linear_2.weight"],
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:swint", "is not a model .did you mean torchvision:swin_t.*accepted: torch"),
        ("torchvision:resnet50", "is not a model; accepted: torchvision:vit_b_16"),
        ("torchvision:", "'torchvision:' is not a model; accepted"),
        ("torchvision:swin_t.V9", "swin_t has no weights 'V9'; accepted: IMAGENET1K_V1$"),
        ("torchvison:swin_t", "did you mean torchvision:swin_t"),
    ],
)
def test_names_that_are_none(name, message):
    with pytest.raises(UserError, match=message):
        load_float(name)


def test_weights_that_do_not_fit(weights):
    with pytest.raises(
        UserError, match=r"lacks norm.bias \(1 names missing, 0 unknown\).*torchvis"
    ):
        load_float("torchvision:swin_t", weights(without=["norm.bias"]))
    with pytest.raises(UserError, match="has extra, which the model lacks"):
        load_float("torchvision:swin_t", weights({"extra": torch.zeros(1)}))
    with pytest.raises(UserError, match=r"norm.bias is \(3,\), the model needs \(768,\)"):
        load_float("torchvision:swin_t", weights({"norm.bias": torch.zeros(3)}))


def test_a_tag_says_the_input_size(weights):
    path = weights(architecture="vit_b_32", image_size=384, num_classes=2)
    with pytest.raises(UserError, match=r"pos_embedding.*another input size; say --input-size"):
        load_float("torchvision:vit_b_32", path, 2)


def test_names_of_classes_are_in_torchvisions_order(weights):
    model = load_float("torchvision:swin_t", weights())
    theirs = torchvision.models.Swin_T_Weights.DEFAULT.meta["categories"]
    # torchvision tells apart two cranes and two maillots, which bear one name.
    differ = [n for own, n in zip(model.classes.names, theirs, strict=True) if n not in own]
    assert differ == ["crane bird", "maillot tank suit"]


@pytest.mark.parametrize("size", [(640, 480), (333, 500), (250, 250)])
@pytest.mark.parametrize("pretrained", PRETRAINED, ids=str)
def test_images_are_prepared_as_in_torchvision(pretrained, size):
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    image = coarse.resize(size, Image.Resampling.BICUBIC)
    expected = pretrained.transforms()(image)
    found = ModelAdapter().transform(preprocessing(pretrained))(image)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-6)
