"""A text tower through the whole chain."""

import json
import re
import shutil

import numpy as np
import onnxruntime
import pytest
import torch
from generators.small_tokenizer import write_tokenizer
from PIL import Image

import vitquant
from vitquant.cli.main import main
from vitquant.core.errors import UserError
from vitquant.models.sources import load_float
from vitquant.workflows.open import open_model

TEXTS = ["a photo of a tench.", "two dogs", "an origami crane", "the Eiffel Tower at night"]


@pytest.fixture(scope="module")
def clip(folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("towers") / "clip"
    return write_tokenizer(shutil.copytree(folders("CLIP"), folder))


@pytest.fixture(scope="module")
def checkpoint(clip):
    path = clip.parent / "text-w8a8.safetensors"
    vitquant.quantize(f"{clip}#text", "w8a8", method="rtn", samples=32).save(path)
    return path


def embeddings(model):
    transform = model.transform()
    with torch.no_grad():
        return model(torch.stack([transform(text) for text in TEXTS]))


@pytest.mark.parametrize("method", ["rtn", "repq", "dfq", "block", "joint"])
def test_each_method(clip, tmp_path, method):
    training = {"steps": 3, "batch_size": 4} if method in ("block", "joint") else {}
    found = vitquant.quantize(f"{clip}#text", "w8a8", method=method, samples=16, **training)
    assert found.fidelity.cosine > 0.99
    assert len(found.header.layers) == 9
    assert {layer.weight_bits for layer in found.header.layers} == {8}
    assert [product.count for product in found.header.products] == [2, 2]
    found.save(tmp_path / "text.safetensors")
    again = open_model(str(tmp_path / "text.safetensors"))
    assert torch.equal(embeddings(again), embeddings(found.model))


def test_no_layer_has_the_bits_of_a_patch_embedding(clip):
    found = vitquant.quantize(f"{clip}#text", "w4a4", method="rtn", samples=4)
    assert {layer.weight_bits for layer in found.header.layers} == {4}


def test_the_attention_stays_causal(checkpoint):
    model = open_model(str(checkpoint))
    tokens = torch.stack([model.transform()(text) for text in TEXTS])
    end = tokens == 299
    changed = torch.where(end.cumsum(1) > 1, 5, tokens)
    with torch.no_grad():
        assert torch.allclose(model(changed), model(tokens), atol=1e-6)


def test_a_checkpoint_holds_its_tokenizer(clip, checkpoint, tmp_path):
    text = open_model(str(checkpoint))
    expected = load_float(f"{clip}#text").transform()
    moved = shutil.copy(checkpoint, tmp_path / "moved.safetensors")
    for sample in TEXTS:
        assert torch.equal(open_model(str(moved)).transform()(sample), expected(sample))
    assert text.preprocessing["input_size"] == [16]
    embedding = torch.nn.functional.normalize(embeddings(text))
    assert (embedding @ embedding.T).fill_diagonal_(0).max() < 0.9999


@pytest.mark.slow
def test_onnx_on_integer_kernels(checkpoint, tmp_path):
    found = vitquant.export(checkpoint, tmp_path / "text.onnx", images=8)
    assert found.about["integer_kernels"] == found.about["expected_integer_kernels"] == 13
    assert found.verification.exported[0].outputs.difference < 0.1
    session = onnxruntime.InferenceSession(str(tmp_path / "text.onnx"))
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape) == ("input_ids", "tensor(int64)", ["batch", 16])
    model = open_model(str(tmp_path / "text.onnx"))
    tokens = np.stack([model.transform()(text).numpy() for text in TEXTS])
    (ran,) = session.run(None, {"input_ids": tokens})
    expected = embeddings(open_model(str(checkpoint)))
    cosine = torch.nn.functional.cosine_similarity(torch.from_numpy(ran), expected)
    assert cosine.min() > 0.999
    with pytest.raises(UserError, match=r"--with-preprocessing: .* reads texts"):
        vitquant.export(checkpoint, tmp_path / "raw.onnx", with_preprocessing=True)
    assert not (tmp_path / "raw.onnx").exists()


def test_texts_given_in_python(clip):
    found = vitquant.quantize(f"{clip}#text", "w8a8", TEXTS, method="rtn")
    assert found.samples == 4
    picture = Image.new("RGB", (8, 8))
    with pytest.raises(UserError, match="reads texts; a list of texts is accepted"):
        vitquant.quantize(f"{clip}#text", "w8a8", [picture], method="rtn")
    with pytest.raises(UserError, match="reads images; a list of images is accepted"):
        vitquant.quantize(str(clip), "w8a8", TEXTS, method="rtn")


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (["--calib", "noise"], "--calib noise: .* reads texts; synthetic or template, or"),
        (["--calib", "inversion"], "--calib inversion: .* reads texts"),
        (["--calib", "digits"], "--calib digits: the model reads texts"),
        (["--hflip", "0.1", "--method", "joint"], "--hflip: .* reads texts; leave it out"),
        (["--patch-embed-bits", "w4a4"], "--patch-embed-bits: .* reads texts"),
    ],
)
def test_what_is_for_images_is_refused(clip, tmp_path, monkeypatch, capsys, option, complaint):
    monkeypatch.chdir(tmp_path)
    method = [] if "--method" in option else ["--method", "rtn"]
    assert main(["quantize", f"{clip}#text", "--bits", "w8a8", *method, *option]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(complaint, line)
    assert not any(tmp_path.iterdir())


def test_a_run_resumes(clip, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    command = ["quantize", f"{clip}#text", "--bits", "w8a8", "--calib", "texts.txt", "--steps", "2"]
    assert main([*command, "--batch-size", "2", "--resume", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["output"], found["samples"]) == ("clip-text-w8a8.safetensors", 4)
    assert found["calib"] == "texts.txt"


def test_embeddings_beside_the_float_tower(checkpoint, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    found = vitquant.evaluate(checkpoint, tmp_path / "texts.txt", reference="float").to_json()
    assert found["images"] == 4
    assert 0.99 < found["cosine"] < 1
