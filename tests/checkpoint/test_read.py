"""Reading a checkpoint: the same model, or one line that says what is wrong with the file."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vitquant.checkpoint.header import FORMAT_VERSION, KEY
from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.config.quantize import METHODS
from vitquant.core.errors import UserError
from vitquant.core.hashing import sha256
from vitquant.data.loader import load_batches


def header_of(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()[KEY])


def rewrite(path, change=lambda header: None, tensors=None):
    """Write the file again with ``change`` applied to its header."""
    header = header_of(path)
    change(header)
    save_file(tensors or load_file(path), path, {KEY: json.dumps(header)})


def refused(path, match):
    with pytest.raises(UserError, match=match) as raised:
        restore(read_checkpoint(path))
    message = str(raised.value)
    assert message.startswith(f"FILE: {path}")
    assert "\n" not in message


@pytest.mark.parametrize("bits", ["w4a4", "w1.58a8", "w8i16"])
@pytest.mark.parametrize("method", ["rtn", "joint"])
@pytest.mark.parametrize("name", ["vit_digits", "swin_digits"])
def test_a_miniature_comes_back_bit_for_bit(name, method, bits, quantized, pictures, tmp_path):
    run = quantized(name, bits, method)
    run.save(tmp_path / "m.safetensors")
    restored = restore(read_checkpoint(tmp_path / "m.safetensors"))
    images, _ = next(load_batches(pictures, range(32), restored.transform(), 32))
    with torch.inference_mode():
        assert torch.equal(restored.module(images), run.model.module(images))
    assert restored.classes == run.model.classes
    assert restored.identity == run.model.identity


MIXED = {
    "patch_embed": "w6a6", "blocks.0": "w8a8", "blocks.1.mlp": "w1.58a8",
    "blocks.1.attn.qkv": "w2a3", "blocks.1.attn.products.0": "w8a3", "blocks.2": "w3a3",
    "blocks.2.attn.products": "w8a16", "blocks.3.mlp.fc2": "w4a16", "blocks.3.mlp.fc1": "w8i16",
    "head": "w2a8",
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_so_do_layers_of_different_bits(method, quantized, pictures, tmp_path):
    more = {"stored_rescaling": True} if method in ("joint", "block") else {}
    run = quantized("vit_digits", "w4a4", method, layer_bits=MIXED, **more)
    run.save(tmp_path / "m.safetensors")
    read = read_checkpoint(tmp_path / "m.safetensors")
    restored = restore(read)
    images, _ = next(load_batches(pictures, range(32), restored.transform(), 32))
    with torch.inference_mode():
        assert torch.equal(restored.module(images), run.model.module(images))
    widths = {x.name: (x.weight_bits, x.activation_bits) for x in read.header.layers}
    assert widths["patch_embed.proj"] == (6, 6)
    assert widths["blocks.1.mlp.fc2"] == (1.58, 8)
    assert widths["blocks.3.attn.qkv"] == (4, 4)
    assert widths["blocks.3.mlp.fc2"] == (4, 16)
    assert {p.name: p.matmul_bits() for p in read.header.products} == {
        "blocks.0.attn": (8, 8), "blocks.1.attn": (3, 4), "blocks.3.attn": (4, 4),
    }  # fmt: skip
    assert read.header.is_mixed


def test_a_batch_and_its_images_one_by_one_agree(saved):
    model = restore(read_checkpoint(saved))
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        alone = torch.cat([model.module(image[None]) for image in images])
        torch.testing.assert_close(model.module(images), alone, rtol=0, atol=0.05)


def test_the_header_tells_how_it_was_made(saved):
    header = header_of(saved)
    assert header["format_version"] == 4  # all matmuls of a module have as many bits
    assert {record["activation_bits"] for record in header["products"]} == {4}
    assert header["bits"] == "w4a4"
    assert header["model"]["name"] == "vit_digits"
    assert len(header["model"]["weights_sha256"]) == 64
    assert header["settings"]["method"] == "rtn"
    assert header["settings"]["seed"] == 0
    assert header["settings"]["calib"] == "digits"
    assert {"vitquant", "torch", "timm", "safetensors", "python"} <= set(header["versions"])
    assert header["classes"]["names"][:2] == ["zero", "one"]
    assert header["preprocessing"]["input_size"] == [3, 32, 32]


def test_weights_are_packed_and_the_rest_is_float16(saved):
    tensors = load_file(saved)
    assert tensors["blocks.0.mlp.fc1.codes"].dtype == torch.uint8
    assert tensors["blocks.0.mlp.fc1.codes"].shape == (96 * 384 // 2,)
    assert tensors["blocks.0.mlp.fc1.scale"].dtype == torch.float32
    assert tensors["pos_embed"].dtype == torch.float16
    assert not any(name.endswith("weight") and "norm" not in name for name in tensors)


def test_a_missing_file(tmp_path):
    refused(tmp_path / "nothing.safetensors", "is not a file")


@pytest.mark.parametrize("kept", [0, 5, 200, 0.5, 0.999])
def test_a_truncated_file(kept, saved):
    data = saved.read_bytes()
    saved.write_bytes(data[: kept if isinstance(kept, int) else int(len(data) * kept)])
    refused(saved, "is not a readable safetensors file")


def test_another_kind_of_file(tmp_path):
    path = tmp_path / "notes.safetensors"
    path.write_text("these are not the weights\n" * 100)
    refused(path, "is not a readable safetensors file")


def test_a_foreign_safetensors_file(tmp_path):
    path = tmp_path / "float.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.ones(3)}, path, metadata)
        refused(path, "was not written by vitquant.*--weights")


@pytest.mark.parametrize("version", [1, 2])
def test_formats_before_scales_of_heads_and_rows(version, quantized, pictures, tmp_path):
    run = quantized("vit_digits", "w4a4", "rtn", per_head=version > 1, prefix_scales=False)
    run.save(path := tmp_path / "m.safetensors")

    def older(header):
        header["format_version"] = version
        for record in header["layers"]:
            assert record.pop("prefix") == 0
            assert record.pop("prefix_bits") == 0
        for record in header["products"]:
            assert record.pop("prefix") == [0, 0]
            if version == 1:
                assert record.pop("heads") == [0, 0]

    rewrite(path, older)
    images, _ = next(load_batches(pictures, range(32), run.model.transform(), 32))
    with torch.inference_mode():
        expected = run.model.module(images)
        assert torch.equal(restore(read_checkpoint(path)).module(images), expected)


def test_a_format_before_bits_of_rows(quantized, tmp_path):
    run = quantized("vit_digits", "w4a4", "rtn", prefix_scales=True)
    run.save(path := tmp_path / "m.safetensors")

    def older(header):
        header["format_version"] = 3
        widths = {record.pop("prefix_bits") for record in header["layers"]}
        assert widths == {0, 4}

    rewrite(path, older)
    assert read_checkpoint(path).header.layers == run.header.layers


def test_what_is_signed_is_only_in_files_that_have_it(quantized, saved, tmp_path):
    header = header_of(saved)
    assert not any("signed" in key for r in header["layers"] + header["products"] for key in r)
    run = quantized("vit_digits", "w4i16", "rtn", patch_embed_bits="w8a8")
    run.save(path := tmp_path / "m.safetensors")
    header = header_of(path)
    assert header["format_version"] == 6
    assert header["bits"] == "w4i16"
    first, *others = header["layers"]
    assert (first["activation_bits"], first["signed_activations"]) == (8, False)
    assert {(r["activation_bits"], r["signed_activations"]) for r in others} == {(16, True)}
    for record in header["products"]:
        assert (record["activation_bits"], record["signed_activations"]) == (16, [True, True])
    assert read_checkpoint(path).header.dump() == json.dumps(
        header, separators=(",", ":"), ensure_ascii=False
    )


def test_a_newer_format(saved):
    rewrite(saved, lambda header: header.update(format_version=FORMAT_VERSION + 1, more=[]))
    refused(saved, f"format version {FORMAT_VERSION + 1}.*a newer vitquant is needed")


def test_one_flipped_bit(saved):
    data = bytearray(saved.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    for position in (start, (start + len(data)) // 2, len(data) - 1):
        data[position] ^= 1
        saved.write_bytes(data)
        refused(saved, "is damaged: its tensors do not match its checksum")
        data[position] ^= 1
    saved.write_bytes(data)
    restore(read_checkpoint(saved))


@pytest.mark.parametrize("lacking", ["layers", "model", "format_version", "preprocessing"])
def test_a_header_that_lacks_something(lacking, saved):
    rewrite(saved, lambda header: header.pop(lacking))
    refused(saved, "is damaged")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"format_version": "1"}'])
def test_a_header_that_is_something_else(text, saved):
    save_file(load_file(saved), saved, {KEY: text})
    refused(saved, "is damaged|format version")


def damaged_layer(header):
    header["layers"][1]["shape"] = [3, 5]


def unknown_field(header):
    header["layers"][1]["colour"] = "red"


def unknown_layer(header):
    header["layers"][1]["name"] = "blocks.9.attn.qkv"


def unknown_width(header):
    header["layers"][1]["weight_bits"] = 11


def unknown_model_field(header):
    header["model"]["colour"] = "red"


def other_class_count(header):
    header["model"]["arguments"] = {"num_classes": 11}


def unknown_argument(header):
    header["model"]["arguments"] = {"colour": "red"}


def product_of_nothing(header):
    header["products"][0]["name"] = "blocks.9.attn"


def class_names_of_another_form(header):
    header["classes"] = ["zero", "one"]


@pytest.mark.parametrize(
    "change",
    [
        damaged_layer, unknown_field, unknown_layer, unknown_width, unknown_model_field,
        other_class_count, unknown_argument, product_of_nothing, class_names_of_another_form,
    ],
)  # fmt: skip
def test_a_header_that_contradicts_itself(change, saved):
    rewrite(saved, change)
    refused(saved, "is damaged|does not fit")


def test_an_architecture_that_timm_does_not_have(saved):
    rewrite(saved, lambda header: header["model"].update(architecture="vit_from_tomorrow"))
    with pytest.raises(UserError, match="has no 'vit_from_tomorrow'; a timm that has it is needed"):
        restore(read_checkpoint(saved))


def test_a_tensor_that_is_missing(saved):
    tensors = load_file(saved)
    del tensors["blocks.0.mlp.fc1.codes"]
    rewrite(saved, lambda header: header.update(content_sha256=sha256(tensors)), tensors)
    refused(saved, "does not fit")
