"""A ``.pte`` file: it computes what the checkpoint does, and what is refused."""

from importlib.util import find_spec

import pytest
import torch

from vitquant.core.errors import CheckFailedError, UserError
from vitquant.evaluation.agreement import compare_outputs
from vitquant.exporters.executorch import program
from vitquant.exporters.executorch.export import export_executorch, to_executorch
from vitquant.exporters.executorch.layers import xnnpack_ops
from vitquant.exporters.runtimes.executorch_runtime import MISSING, ExecuTorch
from vitquant.exporters.runtimes.registry import open_exported

needs_executorch = pytest.mark.skipif(
    find_spec("executorch") is None, reason="ExecuTorch is not installed"
)


@pytest.mark.slow
@needs_executorch
@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
def test_a_file_computes_what_the_checkpoint_does(bits, quantized, pictures, batch, tmp_path):
    model, header = quantized("vit", bits)
    path = tmp_path / "vit.pte"
    found = export_executorch(model, header, path, images=pictures)
    found.check()
    assert [run.name for run in found.exported] == ["exported, ExecuTorch"]
    assert len(found.expected) == len(header.layers)
    assert found.in_float == []
    opened = open_exported(path)
    assert opened.identity == model.identity
    with torch.inference_mode():
        assert compare_outputs(model(batch), opened(batch), 10).difference < 0.02
    with pytest.raises(UserError, match=r"--runtime: ONNX Runtime does not open .*; executorch is"):
        open_exported(path, "onnxruntime")


@needs_executorch
def test_a_layer_in_float_is_named(quantized, monkeypatch):
    model, header = quantized("vit", "w8a8")
    monkeypatch.setattr(program, "_in_float", lambda *_: ["head"])
    with pytest.raises(CheckFailedError, match=r"1 of \d+ layers would run in float .*: head"):
        to_executorch(model, header)


@needs_executorch
def test_files_that_cannot_be_opened(tmp_path):
    path = tmp_path / "x.pte"
    with pytest.raises(UserError, match="is not a file"):
        open_exported(path)
    path.write_bytes(b"not a program")
    with pytest.raises(UserError, match=r"x\.pte is not a readable ExecuTorch program") as raised:
        open_exported(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("bits", "settings", "words"),
    [
        ("w8a16", {}, "has float activations"),
        ("w8i16", {}, "has 16-bit integer activations"),
        ("w4a4", {"prefix_scales": True}, "class tokens in .* have scales of their own"),
    ],
)
def test_what_has_no_integer_kernel_is_refused(bits, settings, words, quantized):
    model, _ = quantized("vit", bits, **settings)
    with pytest.raises(UserError, match=words), xnnpack_ops(model.module, False):
        pass


def test_it_says_what_to_install(quantized, monkeypatch, tmp_path):
    monkeypatch.setattr(ExecuTorch, "installed", lambda self: False)
    model, header = quantized("vit", "w8a8")
    with pytest.raises(UserError, match="--format: ExecuTorch is not installed; pip install"):
        export_executorch(model, header, tmp_path / "x.pte")
    assert MISSING.endswith("'vitquant[executorch]'")
    assert not list(tmp_path.iterdir())
