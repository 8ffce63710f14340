"""Weights in files of every kind that people have."""

import json

import pytest
import torch
from safetensors.torch import save_file

from vitquant.core.errors import UserError
from vitquant.models.weights import check_finite, read_tensors

INDEX = "model.safetensors.index.json"


@pytest.fixture
def refused():
    """refused(path) → the one line of the error."""

    def read(path) -> str:
        with pytest.raises(UserError) as found:
            read_tensors(path, "--weights")
        message = str(found.value)
        assert message.startswith(f"--weights: {path}")
        assert "\n" not in message
        return message.removeprefix(f"--weights: {path}")

    return read


@pytest.fixture
def sharded(tmp_path):
    """A model in two shards."""
    shards = {"model-00001-of-00002.safetensors": "a", "model-00002-of-00002.safetensors": "b"}
    for file, name in shards.items():
        save_file({name: torch.full((2,), ord(name), dtype=torch.float16)}, tmp_path / file)
    places = {name: file for file, name in shards.items()}
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_become_float32(dtype, tmp_path):
    save_file({"a": torch.tensor([0.5, -2.0], dtype=dtype)}, tmp_path / "w.safetensors")
    found = read_tensors(tmp_path / "w.safetensors", "--weights")["a"]
    assert found.dtype == torch.float32
    assert found.tolist() == [0.5, -2.0]


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool])
def test_integer_buffers_stay(dtype, tmp_path):
    save_file({"n": torch.ones(2, dtype=dtype)}, tmp_path / "w.safetensors")
    assert read_tensors(tmp_path / "w.safetensors", "--weights")["n"].dtype == dtype


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantized_weights(dtype, tmp_path, refused):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(2), "b": torch.zeros(2).to(dtype)}, path)
    name = str(dtype).removeprefix("torch.")
    assert refused(path).startswith(f": b is {name}, as in a quantized model; float32, ")


def test_a_checkpoint(tmp_path, refused):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata={"vitquant": "{}"})
    assert refused(path) == " is a checkpoint that vitquant wrote; float weights are accepted"


@pytest.mark.parametrize(("value", "word"), [("nan", "NaN"), ("inf", "infinity")])
def test_numbers_that_are_none(value, word, tmp_path, refused):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(2), "b": torch.tensor([1.0, -float(value)])}, path)
    assert refused(path) == f": b holds {word}; finite weights are accepted"


def test_what_float32_cannot_hold(tmp_path, refused):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.tensor([1e300], dtype=torch.float64)}, path)
    assert "a holds infinity" in refused(path)


def test_several_bad_tensors_are_counted():
    bad = {name: torch.tensor([float("nan")]) for name in "ab"} | {"n": torch.zeros(1).long()}
    with pytest.raises(UserError, match=r"^model: a holds NaN \(2 tensors with such values in all"):
        check_finite(bad, "model")


@pytest.mark.parametrize("name", [".", INDEX])
def test_shards(name, sharded):
    found = read_tensors(sharded / name, "MODEL")
    assert {n: t.tolist() for n, t in found.items()} == {"a": [97.0, 97.0], "b": [98.0, 98.0]}


def test_a_folder_with_one_file(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert list(read_tensors(tmp_path, "MODEL")) == ["a"]


def test_a_missing_shard(sharded):
    (sharded / "model-00002-of-00002.safetensors").unlink()
    words = r"lacks model-00002-of-00002.safetensors \(1 of 2 shards are missing\)"
    with pytest.raises(UserError, match=words):
        read_tensors(sharded, "MODEL")


def test_a_shard_without_its_tensor(sharded):
    save_file({"c": torch.zeros(1)}, sharded / "model-00002-of-00002.safetensors")
    with pytest.raises(UserError, match=r"model-00002-of-00002.safetensors lacks b, which .*index"):
        read_tensors(sharded, "MODEL")


def test_shards_without_an_index(sharded, refused):
    (sharded / INDEX).unlink()
    assert "but not the index of the shards" in refused(sharded)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'])
def test_a_broken_index(text, tmp_path, refused):
    (tmp_path / INDEX).write_text(text)
    assert "is not the index of a sharded model" in refused(tmp_path / INDEX)


def test_an_index_that_leads_elsewhere(tmp_path, refused):
    (tmp_path / INDEX).write_text('{"weight_map": {"a": "../x.safetensors"}}')
    assert "names files of other folders" in refused(tmp_path / INDEX)


def test_folders_and_files_that_are_not_there(tmp_path, refused):
    assert refused(tmp_path) == f" is a folder without model.safetensors and without {INDEX}"
    assert "is not a file; a safetensors file, or a folder" in refused(tmp_path / "none")


def test_a_folder_with_pickled_weights(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model.bin is a pickled PyTorch file.*python -c"):
        read_tensors(tmp_path, "MODEL")


def test_no_tensors(tmp_path, refused):
    save_file({}, tmp_path / "w.safetensors")
    assert refused(tmp_path / "w.safetensors") == " holds no tensors"
