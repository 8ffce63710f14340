"""What timm is told of a quantized model."""

import json
from dataclasses import replace

import pytest
import timm

from vitquant.data.class_names import ClassNames
from vitquant.models.hub_config import hub_config, pretrained_cfg
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.sources import load_float


@pytest.fixture
def tiny():
    """tiny(tag) → a DeiT-Tiny with random weights, as if they were those of ``tag``."""

    def make(tag, architecture="deit_tiny_patch16_224") -> Model:
        module = timm.create_model(architecture)
        identity = ModelIdentity("tiny", architecture, tag)
        return Model(module, identity, timm.data.resolve_model_data_config(module), None)

    return make


def test_nothing_points_to_float_weights(tiny):
    cfg = pretrained_cfg(tiny("fb_in1k"))
    assert not cfg.keys() & {"url", "file", "hf_hub_id", "source"}
    assert cfg["input_size"] == [3, 224, 224]


@pytest.mark.parametrize(
    ("tag", "license"), [("fb_in1k", "apache-2.0"), ("", None), ("no_such", None)]
)
def test_a_license_belongs_to_a_tag(tiny, tag, license):
    cfg = pretrained_cfg(tiny(tag))
    assert cfg.get("license") == license
    assert cfg.get("tag", "") == tag


def test_another_tag_has_its_own_license(tiny):
    cfg = pretrained_cfg(tiny("dino", "vit_small_patch16_224"))
    assert cfg["license"] == timm.get_pretrained_cfg("vit_small_patch16_224.dino").license


def test_the_config_is_plain_json():
    config = hub_config(load_float("vit_digits"))
    assert json.loads(json.dumps(config)) == config
    assert (config["architecture"], config["num_classes"]) == ("vit_digits", 10)
    assert config["label_names"][2] == "two"
    assert "architecture" not in config["pretrained_cfg"]


def test_arguments_and_equal_names():
    model = load_float("vit_digits")
    model.identity = replace(model.identity, arguments={"num_classes": 10, "img_size": (32, 32)})
    model.classes = ClassNames(("a",) * 10, ("a",) * 10)
    config = hub_config(model)
    assert config["model_args"] == {"num_classes": 10, "img_size": [32, 32]}
    assert config["label_names"] == ["a"] * 10
    assert "label_descriptions" not in config
