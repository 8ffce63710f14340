"""``vitquant export``: the file, the table, the JSON, and what is refused; ``eval`` of the file."""

import contextlib
import io
import json
import os
from pathlib import Path

import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from vitquant.cli.main import main
from vitquant.data.sources.digits import CLASS_NAMES, digits
from vitquant.exporters.runtimes.openvino_runtime import OpenVino
from vitquant.models.sources.from_miniature import weights_path

KEYS = {"output", "format", "bytes", "integer_kernels", "expected_integer_kernels", "agreement"}


@pytest.fixture(scope="session")
def exported(checkpoint, tmp_path_factory):
    """`vit_digits` in 8 bits as an ONNX file, and how its export ended."""
    path = tmp_path_factory.mktemp("onnx") / "vit.onnx"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["export", str(checkpoint), "--out", str(path), "--data", "digits", "--json"])
    assert code == 0, err.getvalue()
    return path, json.loads(out.getvalue()), err.getvalue()


@pytest.fixture(scope="session")
def raw(checkpoint, tmp_path_factory):
    """The same, with its preprocessing in the graph."""
    path = tmp_path_factory.mktemp("onnx") / "raw.onnx"
    asked = ["export", str(checkpoint), "--out", str(path), "--with-preprocessing", "--images", "4"]
    assert main(asked) == 0
    return path


def test_json_has_the_keys_of_the_contract(exported):
    path, found, _ = exported
    assert set(found) >= KEYS
    assert found["output"] == str(path)
    assert found["format"] == "onnx"
    assert found["bytes"] == path.stat().st_size
    # Patch embedding, four Linears in each of four blocks, head; two products a block.
    assert found["integer_kernels"] == found["expected_integer_kernels"] == 26
    assert found["agreement"] >= 0.95
    assert found["agreement"] >= found["min_agreement"]


def test_the_table_goes_to_stderr(exported):
    err = exported[2]
    for row in ("float, PyTorch", "quantized, PyTorch", "exported, ONNX Runtime"):
        assert row in err
    assert "26 of 26 matmuls on integer kernels" in err
    assert "32 images of digits" in err


@pytest.mark.slow
def test_the_path_is_all_that_stdout_has(vitquant, checkpoint, monkeypatch, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(checkpoint.read_bytes())
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{copy}\n"))
    ended = vitquant("export", "-", "--images", 2, "--weight-type", "int8", "--opset", 21)
    assert ended.code == 0
    assert ended.out == f"{tmp_path / 'copy.onnx'}\n"
    assert onnx.load(tmp_path / "copy.onnx").opset_import[0].version == 21
    assert sorted(os.listdir(tmp_path)) == ["copy.onnx", "copy.safetensors"]


def test_eval_of_the_file(vitquant, exported, checkpoint, digits_by_class):
    asked = ("--data", digits_by_class, "--reference", checkpoint, "--json")
    found = vitquant("eval", exported[0], *asked).json
    assert found["images"] == 20
    assert found["float_model"]["name"] == "vit_digits"
    assert found["agreement"] >= 0.95
    assert found["top1"] >= 0.9
    beside = vitquant("eval", exported[0], "--data", digits_by_class, "--reference", "float")
    assert "vit_digits (reference)" in beside.err


@pytest.mark.skipif(not OpenVino().installed(), reason="no OpenVINO")
def test_eval_in_openvino(vitquant, exported, checkpoint, digits_by_class):
    asked = ("--data", digits_by_class, "--reference", checkpoint, "--runtime", "openvino")
    assert vitquant("eval", exported[0], *asked, "--json").json["agreement"] >= 0.95


def test_a_runtime_that_cannot_be(vitquant, exported, checkpoint, digits_by_class, monkeypatch):
    def asked(model, runtime):
        return vitquant("eval", model, "--data", digits_by_class, "--runtime", runtime)

    asked(exported[0], "tensorrt").refused("--runtime: 'tensorrt'", "onnxruntime, openvino")
    asked(checkpoint, "openvino").refused("--runtime", "only an ONNX file or a .pte")
    monkeypatch.setattr("vitquant.exporters.runtimes.openvino_runtime.find_spec", lambda name: None)
    asked(exported[0], "openvino").refused("--runtime", "pip install openvino")


@pytest.mark.slow
def test_eval_of_a_file_that_takes_images_of_any_size(vitquant, raw, checkpoint, tmp_path):
    for i, (image, label) in enumerate(digits("test")[:12]):
        folder = tmp_path / "mixed" / CLASS_NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        larger = image.resize((32 + 7 * i, 32 + 7 * i), Image.Resampling.BICUBIC)
        larger.save(folder / f"{i}.png")
    asked = ("--data", tmp_path / "mixed", "--reference", checkpoint, "--json")
    found = vitquant("eval", raw, *asked).json
    assert found["images"] == 12
    assert found["agreement"] == 1.0
    assert found["top1"] == found["reference"]["top1"]


@pytest.mark.slow
def test_the_code_of_the_documentation(raw, tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "export-and-run.md").read_text()
    code = text.partition("<!-- onnxruntime -->\n```python\n")[2].partition("```")[0]
    namespace = {}
    exec(code, namespace)
    right = 0
    for i, (image, label) in enumerate(digits("test")[:10]):
        image.resize((50 + i, 50 + i), Image.Resampling.BICUBIC).save(tmp_path / f"{i}.png")
        right += namespace["classify"](raw, tmp_path / f"{i}.png") == CLASS_NAMES[label]
    assert right >= 9


def test_a_file_that_computes_something_else_fails(
    vitquant, exported, checkpoint, monkeypatch, tmp_path
):
    def wrong(*_):
        graph = onnx.load(exported[0])
        for tensor in graph.graph.initializer:
            if tensor.data_type == onnx.TensorProto.INT32:
                values = -20 * onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        return graph

    monkeypatch.setattr("vitquant.exporters.onnx.export.to_onnx", wrong)
    out = tmp_path / "wrong.onnx"
    asked = ("--out", out, "--data", "digits", "--min-agreement", 0.9, "--json")
    ended = vitquant("export", checkpoint, *asked)
    assert ended.code == 1
    assert ended.json["agreement"] < 0.9
    assert ended.err.splitlines()[-1].startswith("vitquant: --min-agreement: exported")
    assert out.is_file()


def test_a_damaged_checkpoint(vitquant, checkpoint, tmp_path):
    data = bytearray(checkpoint.read_bytes())
    data[-1000] ^= 1
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(data)
    vitquant("export", damaged).refused(str(damaged), "damaged")
    assert not damaged.with_suffix(".onnx").exists()
    vitquant("export", "none.safetensors").refused("none.safetensors", "is not a file")
    vitquant("export", "vit_digits").refused("vit_digits", "checkpoint")


def test_a_place_that_cannot_be_written(vitquant, checkpoint, tmp_path):
    vitquant("export", checkpoint, "--out", tmp_path).refused("--out", "is a folder")
    missing = tmp_path / "none" / "x.onnx"
    vitquant("export", checkpoint, "--out", missing).refused("--out", "does not exist")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--format", "tflite"), ("--format", "'tflite'", "onnx")),
        (("--weight-type", "int3"), ("--weight-type", "'int3'", "int2, int4, int8")),
        (("--opset", 19), ("--opset", "19 has no type int8", "20 to 25")),
        (("--opset", 99), ("--opset", "99", "20 to 25")),
        (("--images", 0), ("--images: 0", "1 or more")),
        (("--min-agreement", 95), ("--min-agreement", "from 0 to 1")),
        (("--data", "nowhere"), ("--data", "'nowhere'")),
        (("--weights", "none.safetensors"), ("--weights", "none.safetensors")),
    ],
)
def test_options_that_cannot_be(options, words, vitquant, checkpoint, tmp_path):
    out = tmp_path / "x.onnx"
    vitquant("export", checkpoint, "--out", out, *options).refused(*words)
    assert not out.exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--weight-type", "int2"),
        ("--opset", 25),
        ("--float-attention",),
        ("--with-preprocessing",),
        ("--data", "digits"),
        ("--images", 8),
        ("--min-agreement", 0.5),
        ("--weights", "x.safetensors"),
    ],
)
def test_options_of_onnx_go_with_no_other_format(options, vitquant, checkpoint, tmp_path):
    arguments = ("--out", tmp_path / "x", "--format", "safetensors", *options)
    vitquant("export", checkpoint, *arguments).refused(f"{options[0]}: ", "--format onnx")
    assert not (tmp_path / "x").exists()


def test_weights_that_are_not_those_of_the_checkpoint(vitquant, checkpoint, tmp_path):
    out = tmp_path / "x.onnx"
    asked = ("--out", out, "--weights", weights_path("swin_digits"))
    vitquant("export", checkpoint, *asked).refused("--weights")


@pytest.mark.slow
def test_a_miniature_with_weights_of_its_own(vitquant, digits_by_class, tmp_path):
    tensors, own = load_file(weights_path("vit_digits")), tmp_path / "own.safetensors"
    tensors["norm.weight"] += 0.1
    save_file(tensors, own)
    asked = ("--bits", "w8a8", "--method", "rtn", "--calib", digits_by_class, "--weights", own)
    path = vitquant("quantize", "vit_digits", *asked).out.strip()
    assert vitquant("export", path, "--images", 2).code == 0
    assert vitquant("export", path, "--images", 2, "--weights", own).code == 0
    # Neither of these says anything of options that export lacks.
    others = "are not the weights that the checkpoint was made from"
    export = ("export", path, "--weights")
    vitquant(*export, weights_path("vit_digits")).refused("--weights", others)
    tensors["head.weight"], tensors["head.bias"] = torch.zeros(7, 96), torch.zeros(7)
    save_file(tensors, own)
    vitquant(*export, own).refused("--weights", others)
    evaluate = ("eval", path, "--data", "digits", "--reference", "float")
    vitquant(*evaluate).refused("--reference: vit_digits was quantized from a file", "--weights")
    vitquant(*evaluate, "--weights", own).refused("--weights", others, "--reference")


def test_eval_refuses_what_is_no_file_of_ours(vitquant, digits_by_class, tmp_path):
    path = tmp_path / "x.onnx"
    vitquant("eval", path, "--data", digits_by_class).refused("x.onnx", "is not a file")
    path.write_bytes(b"nothing")
    vitquant("eval", path, "--data", digits_by_class).refused("x.onnx", "ONNX")


def test_a_disk_that_refuses(vitquant, checkpoint, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    out = tmp_path / "x.onnx"
    out.write_bytes(b"before")
    monkeypatch.setattr("vitquant.core.files.os.fsync", full)
    monkeypatch.setattr("vitquant.exporters.onnx.export.to_onnx", lambda *_: onnx.ModelProto())
    vitquant("export", checkpoint, "--out", out).refused("--out", "No space left")
    assert out.read_bytes() == b"before"
