"""The settings of an export and of an evaluation."""

import pytest

from vitquant.config.evaluate import EvaluateSettings
from vitquant.config.export import ExportSettings, OnnxSettings
from vitquant.config.naming import OPTIONS
from vitquant.core.errors import UserError


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"format": "tflite"}, "--format: 'tflite' is not one; accepted: onnx, "),
        ({"format": "safetensors", "opset": 21}, "--opset: --format safetensors does not use it"),
        ({"format": "safetensors", "images": 8}, "--images: --format safetensors does not use it"),
        ({"weight_type": "int3"}, "--weight-type: 'int3' is not one; accepted: int2, int4, int8"),
        ({"private": True}, "--private: it goes with --push-to-hub; add that"),
        (
            {"format": "safetensors", "push_to_hub": "a/b"},
            "--push-to-hub: --format safetensors does not use it; leave it out, or choose --format",
        ),
        ({"min_agreement": 1.5}, "--min-agreement: 1.5 is not a fraction from 0 to 1, such as"),
        ({"images": 0}, "--images: 0 is not 1 or more"),
    ],
)
def test_an_export_refuses(given, words):
    with pytest.raises(UserError) as error:
        ExportSettings.build(naming=OPTIONS, **given)
    assert str(error.value).startswith(words)


def test_an_onnx_file_has_its_part():
    found = ExportSettings.build(opset=21, private=True, push_to_hub="a/b").part(OnnxSettings)
    assert found == OnnxSettings.build(opset=21)


def test_an_evaluation_needs_data():
    with pytest.raises(UserError, match=r"^data: it is missing; Labeled images"):
        EvaluateSettings.build()
    with pytest.raises(UserError, match=r"^min_top1: 2.0 is not a fraction from 0 to 1"):
        EvaluateSettings.build(data="digits", min_top1=2)
    assert EvaluateSettings.build(data="digits").batch_size == 64
