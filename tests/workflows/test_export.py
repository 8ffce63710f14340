"""What a checkpoint was quantized for, and what it is exported for."""

import pytest
import timm

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


def test_a_file_with_one_output_is_checked_by_its_error(tmp_path):
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_heads": 3}
    module = timm.create_model("vit_tiny_patch16_224", num_classes=1, **small)
    quantized = vitquant.quantize(
        module,
        "w8a8",
        "digits",
        method="rtn",
        samples=4,
        init_images=2,
        arguments=small | {"num_classes": 1},
    )
    assert quantized.fidelity.agreement is None
    found = vitquant.export(quantized, tmp_path / "m.onnx", images=4)
    assert found.to_json()["agreement"] is None
    assert found.to_json()["runs"][-1]["difference"] < 0.05 < found.verification.max_difference
    with pytest.raises(UserError, match=r"min_agreement: .* fewer than two classes"):
        vitquant.export(quantized, tmp_path / "n.onnx", min_agreement=0.5)
    assert not (tmp_path / "n.onnx").exists()
