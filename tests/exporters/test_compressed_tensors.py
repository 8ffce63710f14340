"""What is written for compressed-tensors, as the library itself reads it."""

import importlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.config.groups.training import TRAINED
from vitquant.config.quantize import QuantizeSettings
from vitquant.core.errors import UserError
from vitquant.data.image_source import ListSource
from vitquant.data.sources.digits import digits
from vitquant.exporters.compressed_tensors import pack_words, write
from vitquant.quantization.layers.conv import IntConv2d
from vitquant.quantization.layers.interception import intercepted, set_matmuls
from vitquant.quantization.layers.linear import IntLinear
from vitquant.workflows.open import open_model
from vitquant.workflows.ptq import quantize

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "compressed-tensors.md"
BITS = ["w8a8", "w4a4", "w3a3", "w5a8", "w1.58a8", "w4a16"]


@pytest.fixture(scope="session")
def pictures():
    """The first digits of the test part."""
    return ListSource("digits", [image for image, _ in digits("test")[:16]])


@pytest.fixture(scope="module")
def checkpoint(pictures, tmp_path_factory):
    """checkpoint(bits, method, name) → one that has been written and read; each is made once."""

    @cache
    def make(bits="w4a4", method="rtn", name="vit_digits", **own):
        brief = {"samples": 16, "init_images": 8} | own
        if method in TRAINED["method"]:
            brief |= {"steps": 2, "batch_size": 2}
        settings = QuantizeSettings.build(bits=bits, method=method, **brief)
        path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
        quantize(open_model(name), pictures, settings).save(path)
        return read_checkpoint(path)

    return make


@pytest.fixture
def library():
    """library(folder) → the library's model, by the function that its page in docs/ shows."""
    pytest.importorskip("compressed_tensors", "0.18", reason="compressed-tensors is not installed")
    text = PAGE.read_text(encoding="utf-8")
    code = text.partition("<!-- compressed-tensors -->\n```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    return names["read"]


@pytest.mark.parametrize("bits", BITS)
def test_the_library_reads_the_weights(bits, checkpoint, library, tmp_path):
    ours = checkpoint(bits)
    write(ours, tmp_path / "folder")
    theirs = library(tmp_path / "folder")
    for name, layer in restore(ours).module.named_modules():
        if isinstance(layer, (IntLinear, IntConv2d)):
            assert torch.equal(theirs.get_submodule(name).weight, layer.weight), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_digits", "swin_digits"])
@pytest.mark.parametrize("method", ["rtn", "joint"])
def test_the_library_computes_the_same(name, method, checkpoint, library, pictures, tmp_path):
    ours = checkpoint("w4a4", method, name)
    write(ours, tmp_path / "folder")
    theirs = library(tmp_path / "folder")
    model = restore(ours)
    for _, module, matmuls in list(intercepted(model.module)):
        set_matmuls(module, [_Float() for _ in matmuls])
    for module in model.module.modules():
        if isinstance(module, IntConv2d):
            module.input = None
    images = torch.stack([model.transform()(pictures.image(i)) for i in range(8)])
    with torch.inference_mode():
        expected, found = model.module(images), theirs(images)
    # Dividing by a scale and multiplying by its reciprocal may round to another of 16 levels.
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.2)
    assert torch.equal(found.argmax(1), expected.argmax(1))


def test_layers_of_other_bits_are_groups_of_their_own(checkpoint, library, tmp_path):
    table = "blocks.0=w8a8,blocks.1.mlp=w1.58a8,blocks.2.attn.qkv=w3a16,blocks.2.mlp.fc1=w3a3"
    ours = checkpoint("w4a4", layer_bits=table)
    write(ours, tmp_path / "folder")
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    found = {}
    for group in config["quantization_config"]["config_groups"].values():
        activations = group["input_activations"] and group["input_activations"]["num_bits"]
        found |= dict.fromkeys(group["targets"], (group["weights"]["num_bits"], activations))
    assert found["blocks.0.mlp.fc2"] == (8, 8)
    assert found["blocks.1.mlp.fc2"] == (2, 8)
    assert found["blocks.2.attn.qkv"] == (3, None)
    assert found["blocks.2.mlp.fc1"] == (3, 3)
    assert found["blocks.3.mlp.fc1"] == found["head"] == (4, 4)
    theirs = library(tmp_path / "folder")
    for name, layer in restore(ours).module.named_modules():
        if isinstance(layer, (IntLinear, IntConv2d)):
            assert torch.equal(theirs.get_submodule(name).weight, layer.weight), name


def test_rows_of_more_bits_are_refused(checkpoint, tmp_path):
    with pytest.raises(UserError, match=r"8 at the class token and 4 elsewhere.*--prefix-bits"):
        write(checkpoint(prefix_bits=8), tmp_path / "folder")


def test_activations_of_16_bit_integers_are_refused(checkpoint, tmp_path):
    with pytest.raises(UserError, match=r"has 16-bit integer activations.*--format onnx"):
        write(checkpoint("w8i16"), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    assert not (tmp_path / "folder").exists()


def test_it_is_small_and_describes_itself(checkpoint, tmp_path):
    ours = checkpoint("w4a4")
    size = write(ours, tmp_path / "folder")
    files = sorted((tmp_path / "folder").iterdir())
    assert [file.name for file in files] == ["config.json", "model.safetensors"]
    assert size == sum(file.stat().st_size for file in files)
    assert size < 1.2 * ours.bytes
    config = json.loads(files[0].read_text())
    assert config["architecture"] == "vit_digits"
    assert config["quantization_config"]["format"] == "pack-quantized"
    groups = config["quantization_config"]["config_groups"].values()
    assert "blocks.0.attn.qkv" in [name for group in groups for name in group["targets"]]


def test_what_is_in_the_way_stays(checkpoint, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    with pytest.raises(UserError, match=r"--out: .*folder exists"):
        write(checkpoint(), tmp_path / "folder")
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["mine"]
    with pytest.raises(UserError, match="does not exist"):
        write(checkpoint(), tmp_path / "none" / "folder")


def test_a_full_disk_leaves_nothing(checkpoint, tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    ours = checkpoint()
    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(UserError, match="No space left on device"):
        write(ours, tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_packing_by_hand():
    codes = torch.tensor([[-8, -7, 0, 7, -8, -8, -8, 7, -5]], dtype=torch.int8)
    words = pack_words(codes, 4)
    assert words.dtype == torch.int32
    assert [f"{word & 0xFFFFFFFF:08x}" for word in words[0].tolist()] == ["f000f810", "00000003"]


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("bits", range(2, 9))
def test_the_library_packs_alike(bits, columns):
    pytest.importorskip("compressed_tensors", "0.18", reason="compressed-tensors is not installed")
    helpers = importlib.import_module("compressed_tensors.compressors.pack_quantized.helpers")
    half = 1 << (bits - 1)
    generator = torch.Generator().manual_seed(bits)
    codes = torch.randint(-half, half, (3, columns), dtype=torch.int8, generator=generator)
    assert torch.equal(pack_words(codes, bits), helpers.pack_to_int32(codes, bits))
    unpacked = helpers.unpack_from_int32(pack_words(codes, bits), bits, codes.shape)
    assert torch.equal(unpacked, codes)


class _Float(nn.Module):
    def forward(self, left, right):
        return left @ right
