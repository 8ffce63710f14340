"""What a model card and a config say, without a network."""

import json
from dataclasses import replace

import pytest
import yaml

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.core.errors import UserError
from vitquant.hub.base_model import BaseModel, base_model
from vitquant.hub.card import Published, card, check_evaluation
from vitquant.hub.errors import redact
from vitquant.hub.publish import config
from vitquant.models.model import ModelIdentity

EVALUATION = {"top1": 0.98, "top5": 1.0, "images": 500, "data": "digits"}
REFERENCE = {"reference": {"top1": 0.988, "top5": 1.0}, "agreement": 0.976}


@pytest.fixture
def published(checkpoint):
    """published(**changes) → what goes into a repository."""
    read = read_checkpoint(checkpoint)
    base = BaseModel("timm/some.base", "some.base", "cc-by-nc-4.0")
    plain = Published("me/mine", read, base, 10, None, (), None)
    return lambda **changes: replace(plain, **changes)


def front(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_front_matter(published):
    found = front(card(published(onnx_bytes=5)))
    assert found == {
        "library_name": "vitquant",
        "license": "cc-by-nc-4.0",
        "base_model": "timm/some.base",
        "base_model_relation": "quantized",
        "pipeline_tag": "image-classification",
        "tags": ["vitquant", "timm", "quantized", "w4a4", "onnx"],
    }
    assert front(card(published(num_classes=0)))["pipeline_tag"] == "image-feature-extraction"


@pytest.mark.parametrize(
    ("license", "fields"),
    [
        ("mit", {"license": "mit"}),
        ("dinov3-license", {"license": "other", "license_name": "dinov3-license"}),
        (None, {"license": "unknown"}),
    ],
)
def test_licenses(license, fields):
    assert BaseModel(None, "some", license).front_matter() == fields


def test_base_models():
    pinned = ModelIdentity("deit_small", "deit_small_patch16_224", "fb_in1k")
    found = base_model(pinned)
    assert found.repository == "timm/deit_small_patch16_224.fb_in1k"
    assert found.license == "apache-2.0"
    assert base_model(replace(pinned, tag="")).repository is None
    assert "weights from a file" in base_model(replace(pinned, tag="")).name
    assert base_model(ModelIdentity("vit_digits", "vit_digits", "bundled")).license == "apache-2.0"
    assert base_model(ModelIdentity("hf-hub:me/base", "vit_digits")).repository == "me/base"


def test_the_body(published):
    text = card(published(evaluation=EVALUATION | REFERENCE, commands=("vitquant export x",)))
    assert "[timm/some.base](https://huggingface.co/timm/some.base)" in text
    assert "| license | cc-by-nc-4.0 |" in text
    assert "| w4a4: 4-bit weights, 4-bit activations |" in text
    assert "| 16 images of `digits`, no labels |" in text
    assert "| float | 98.80 | 100.00 |  |" in text
    assert "| quantized | 98.00 | 100.00 | 97.60 |" in text
    assert 'vitquant.load("hf-hub:me/mine")' in text
    assert "\nvitquant export x\n" in text
    assert "model.onnx" not in text


def test_mixed_bits_are_a_table(published):
    read = published().checkpoint
    layers = [
        replace(layer, weight_bits=8, activation_bits=3) if "blocks.2" in layer.name else layer
        for layer in read.header.layers
    ]
    settings = read.header.settings | {"layer_bits": "blocks.2=w8a3"}
    header = replace(read.header, layers=layers, settings=settings)
    text = card(published(checkpoint=replace(read, header=header)))
    assert "mixed-precision" in front(text)["tags"]
    assert "quantized to w4a4, with other bits in some layers, by" in text
    assert "| w4a4: 4-bit weights, 4-bit activations; mixed, see [bits](#bits) |" in text
    assert "| `blocks.*.mlp.fc1` | w4a4 (3), w8a3 (1) |" in text
    assert "| `blocks.*.attn.products.1` | a4 |" in text
    assert "bits a weight and" in text
    assert "mixed" not in card(published())


def test_no_accuracy_is_claimed_that_was_not_measured(published):
    assert "Accuracy" not in card(published())
    assert "float |" not in card(published(evaluation=EVALUATION))


def test_what_is_known_of_an_onnx_file(published):
    exported = {
        "integer_kernels": 3, "expected_integer_kernels": 4, "agreement": 0.5, "images": 32,
        "data": "noise",
    }  # fmt: skip
    text = card(published(onnx_bytes=1234, exported=exported))
    assert "1,234 bytes, 3 of 4 matmuls on integer kernels" in text
    assert "on 50.00% of 32 images of `noise`" in text


def test_a_layer_that_stayed_float_is_named(published):
    read = published().checkpoint
    header = replace(read.header, unreached={"blocks.0": "a | b"})
    assert "| `blocks.0` | float: a \\| b |" in card(
        published(checkpoint=replace(read, header=header))
    )


def test_the_config(checkpoint):
    read = read_checkpoint(checkpoint)
    found = config(read, restore(read), BaseModel("timm/some.base", "some.base", None), False)
    assert json.loads(json.dumps(found)) == found
    assert (found["architecture"], found["num_classes"]) == ("vit_digits", 10)
    assert found["pretrained_cfg"]["tag"] == "bundled"
    assert not found["pretrained_cfg"].keys() & {"url", "file", "hf_hub_id"}
    assert found["vitquant"]["base_model"] == "timm/some.base"
    assert found["vitquant"]["content_sha256"] == read.header.content_sha256


def test_evaluations():
    check_evaluation(EVALUATION | REFERENCE)
    for found in ([], {"top1": 1}):
        with pytest.raises(UserError, match="lacks top1"):
            check_evaluation(found)
    with pytest.raises(UserError, match="fractions"):
        check_evaluation(EVALUATION | {"top1": 98})
    with pytest.raises(UserError, match="fractions"):
        check_evaluation(EVALUATION | {"reference": {"top1": 0.5}})


def test_what_looks_like_a_token_is_hidden(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "mysecret")
    like = "hf_" + "a1B2" * 9
    assert redact(f"a mysecret b other c {like} d", "other") == "a *** b *** c *** d"
    assert redact("hf_hub_id hf-hub:x/y") == "hf_hub_id hf-hub:x/y"
    monkeypatch.setenv("HF_TOKEN", "it")
    assert redact("it is vit, it=it") == "*** is vit, ***=***"
