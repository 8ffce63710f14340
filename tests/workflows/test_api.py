"""The Python API."""

import inspect
import json
import subprocess
import sys

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

import vitquant
from vitquant.data.image_source import ListSource
from vitquant.data.sources.digits import digits
from vitquant.models.sources import from_miniature

QUICK = {"method": "rtn", "samples": 8, "init_images": 8}
PICTURES = [image for image, _ in digits("test")[:8]]


@pytest.fixture(scope="session")
def _saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("api") / "vit.safetensors"
    vitquant.quantize("vit_digits", "w4a4", PICTURES, **QUICK).save(path)
    return path


@pytest.fixture
def saved(_saved):
    """The file of a `vit_digits` in w4a4."""
    return _saved


@pytest.fixture
def batch():
    """(2, 3, 32, 32) of noise."""
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def outputs(module, batch):
    with torch.inference_mode():
        return module(batch)


def test_the_package_imports_nothing_heavy_and_knows_its_functions():
    code = (
        "import sys, vitquant; assert not {'torch', 'timm', 'huggingface_hub'} & set(sys.modules); "
        "print([n for n in vitquant.__all__ if n not in dir(vitquant)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        vitquant.quantise  # noqa: B018
    assert all(inspect.getdoc(getattr(vitquant, n)) for n in ("load", "quantize", "export"))


def test_loading_gives_timms_interface(saved, batch):
    module = vitquant.load(saved)
    assert isinstance(module, nn.Module)
    assert not module.training
    with torch.inference_mode():
        features = module.forward_features(batch)
        assert features.shape[-1] == module.num_features
        assert torch.equal(module.forward_head(features), module(batch))
    assert module.num_classes == 10
    assert module.default_cfg == module.pretrained_cfg
    assert module.pretrained_cfg["label_names"][7] == "seven"
    found = timm.data.resolve_model_data_config(module)
    assert found["input_size"] == (3, 32, 32)
    assert found["mean"] == (0.5, 0.5, 0.5)


def test_what_is_loaded_is_what_was_quantized(batch, tmp_path):
    quantized = vitquant.quantize("vit_digits", "w4a4", PICTURES, **QUICK)
    size = quantized.save(str(tmp_path / "vit.safetensors"))
    assert size == (tmp_path / "vit.safetensors").stat().st_size
    module = vitquant.load(tmp_path / "vit.safetensors")
    assert torch.equal(outputs(module, batch), outputs(quantized.module, batch))
    assert quantized.model.module is quantized.module


def test_a_module_is_quantized_like_its_name_and_stays_as_it_is(batch):
    module = timm.create_model("vit_digits")
    module.load_state_dict(load_file(from_miniature.weights_path("vit_digits")))
    module.train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    ours = vitquant.quantize(module, "w4a4", ListSource("mine", PICTURES), **QUICK)
    theirs = vitquant.quantize("vit_digits", "w4a4", PICTURES, **QUICK)
    assert torch.equal(outputs(ours.module, batch), outputs(theirs.module, batch))
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert ours.header.settings["calib"] == "mine"
    assert ours.header.model["tag"] == ""


def test_a_module_of_another_shape_can_be_built_again(tmp_path):
    arguments = {"num_classes": 3, "img_size": 32, "patch_size": 8, "depth": 1}
    module = timm.create_model("vit_tiny_patch16_224", **arguments)
    quantized = vitquant.quantize(module, "w8a8", PICTURES, arguments=arguments, **QUICK)
    quantized.save(tmp_path / "tiny.safetensors")
    loaded = vitquant.load(tmp_path / "tiny.safetensors")
    assert loaded.num_classes == 3
    assert timm.data.resolve_model_data_config(loaded)["input_size"] == (3, 32, 32)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Linear(2, 2), "timm does not know"),
        ("vit_digit", "did you mean vit_digits"),
    ],
)
def test_models_that_cannot_be_quantized(model, words):
    with pytest.raises(vitquant.UserError, match=words):
        vitquant.quantize(model, "w4a4", PICTURES, **QUICK)


def test_arguments_that_do_not_fit(saved):
    module = timm.create_model("vit_digits", num_classes=3)
    for arguments, words in (({"num_classes": 4}, "has head.bias"), ({"nonsense": 1}, "nonsense")):
        with pytest.raises(vitquant.UserError, match=words):
            vitquant.quantize(module, "w4a4", PICTURES, arguments=arguments, **QUICK)
    with pytest.raises(vitquant.UserError, match="quantized already"):
        vitquant.quantize(vitquant.load(saved), "w4a4", PICTURES, **QUICK)
    with pytest.raises(vitquant.UserError, match="go with a name"):
        vitquant.quantize(module, "w4a4", PICTURES, num_classes=3, **QUICK)
    with pytest.raises(vitquant.UserError, match="go with a module"):
        vitquant.quantize("vit_digits", "w4a4", PICTURES, arguments={}, **QUICK)
    with pytest.raises(vitquant.UserError, match="bits: 'w9a9'"):
        vitquant.quantize(module, "w9a9", PICTURES, **QUICK)
    with pytest.raises(vitquant.UserError, match=r"^stepz: there is no such setting; steps is one"):
        vitquant.quantize(module, "w4a4", PICTURES, stepz=3)


@pytest.mark.parametrize("calib", [[], ["a.png"], "nowhere"])
def test_images_that_are_none(calib):
    with pytest.raises(vitquant.UserError, match="calib"):
        vitquant.quantize("vit_digits", "w4a4", calib, **QUICK)


def test_images_by_name(tmp_path):
    for i, image in enumerate(PICTURES):
        image.convert("L").save(tmp_path / f"{i}.png")
    for calib in (tmp_path, "noise"):
        assert vitquant.quantize("vit_digits", "w8a8", calib, **QUICK).samples == 8


def test_noise_corrects_no_biases():
    settings = {"method": "dfq", "samples": 8, "init_images": 8}
    made = vitquant.quantize("vit_digits", "w4a8", "noise", **settings)
    assert made.header.settings["correct_bias"] is False
    made = vitquant.quantize("vit_digits", "w4a8", PICTURES, **settings)
    assert made.header.settings["correct_bias"] is True


def test_images_that_are_generated_first(tmp_path, monkeypatch):
    monkeypatch.setenv("VITQUANT_CACHE", str(tmp_path))
    # One learned prompt a class would take as many steps as twenty; texts take none.
    quick = QUICK | {"samples": 10}
    assert vitquant.quantize("vit_digits", "w8a8", "template", **quick).samples == 8
    assert list(tmp_path.iterdir())
    with pytest.raises(vitquant.UserError, match=r"^generator: calib='noise' does not use it"):
        vitquant.quantize("vit_digits", "w8a8", "noise", generator="sd-digits", **quick)
    with pytest.raises(vitquant.UserError, match=r"^generator: calib='images' does not use it"):
        vitquant.quantize("vit_digits", "w8a8", PICTURES, generator="sd-digits", **quick)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(vitquant.UserError, match="is not a file"):
        vitquant.load(tmp_path / "none.safetensors")


def test_exporting_to_the_layout_of_another_library(saved, tmp_path):
    exported = vitquant.export(saved, tmp_path / "folder", format="safetensors")
    assert exported.bytes == sum(file.stat().st_size for file in (tmp_path / "folder").iterdir())
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "compressed-tensors"
    with pytest.raises(vitquant.UserError, match=r"out: .*exists"):
        vitquant.export(saved, tmp_path / "folder", format="safetensors")
    with pytest.raises(vitquant.UserError, match=r"^format: 'tflite' is not one"):
        vitquant.export(saved, tmp_path / "x", format="tflite")


def test_exporting_to_onnx(saved, tmp_path):
    pytest.importorskip("onnxruntime")
    quantized = vitquant.quantize("vit_digits", "w8a8", PICTURES, **QUICK)
    out = tmp_path / "vit.onnx"
    exported = vitquant.export(quantized, out, weight_type="int4", float_attention=True, images=4)
    assert exported.verification.agreement is not None
    assert out.is_file()


def test_a_recipe_and_what_it_leaves_open(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[method]\nbits = "w8a8"\nmethod = "rtn"\nsamples = 8\nseed = 3\n')
    quantized = vitquant.quantize("vit_digits", calib=PICTURES, recipe=recipe, seed=4)
    stored = quantized.header.settings
    assert (quantized.header.bits, stored["method"], stored["seed"]) == ("w8a8", "rtn", 4)
    recipe.write_text('samples = "x"')
    with pytest.raises(vitquant.UserError, match=r"^recipe: .*mine.toml: samples: 'x' is not a wh"):
        vitquant.quantize("vit_digits", "w4a4", PICTURES, recipe=recipe)


def test_scoring_a_checkpoint(saved):
    found = vitquant.evaluate(saved, "digits", reference="float")
    assert found.to_json()["top1"] == found.found.accuracy.top1 > 0.5
    with pytest.raises(vitquant.CheckFailedError, match=r"^min_top1: top-1 is "):
        vitquant.evaluate(saved, "digits", min_top1=1.0)


def test_images_through_the_model_itself(tmp_path):
    brief = {"synthesizer": "inversion", "samples": 2, "iterations": 1}
    made = vitquant.synthesize("vit_digits", tmp_path / "images", **brief)
    assert made.to_json()["images"] == 2
    with pytest.raises(vitquant.UserError, match=r"^iterations: it goes with synthesizer='inv"):
        vitquant.synthesize("vit_digits", tmp_path / "others", iterations=1)
