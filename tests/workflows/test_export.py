"""What a checkpoint was quantized for, and what it is exported for."""

import pytest

import vitquant
from vitquant.core.errors import UserError


@pytest.fixture(scope="module")
def run():
    return vitquant.quantize(
        "vit_digits", "w8a8", "digits", method="rtn", samples=4, init_images=2, target="openvino"
    )


def test_by_default_for_what_it_was_quantized_for(run, tmp_path):
    found = vitquant.export(run, tmp_path / "m.onnx", images=2).to_json()
    assert found["target"] == run.header.target == "openvino"


def test_a_target_of_another_vitquant_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setitem(run.header.settings, "target", "newer")
    with pytest.raises(UserError, match=r"quantized for newer.*target onnxruntime, openvino"):
        vitquant.export(run, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
