"""A model of transformers from the Hub, quantized, and back on it."""

import json

import pytest
import torch

import vitquant
from vitquant.core.errors import UserError
from vitquant.hub.publish import push
from vitquant.models.sources import load_float
from vitquant.workflows.open import FloatName, HubCheckpoint, open_model, resolve

NAME, QUANTIZED = "someone/small-vit", "someone/small-vit-w8a8"
BRIEF = {"method": "rtn", "samples": 2, "init_images": 2}


@pytest.fixture
def published(hub, folders):
    """The Hub, with a small ViT of transformers on it."""
    files = {path.name: path.read_bytes() for path in folders("ViT").iterdir()}
    hub.hold(NAME, files | {"pytorch_model.bin": b"pickled", "onnx/model.safetensors": b"another"})
    return hub


def test_a_model_of_transformers_comes_from_the_hub(published, folders):
    name = f"hf-hub:{NAME}"
    assert isinstance(resolve(name), FloatName)
    model = load_float(name)
    local = load_float(str(folders("ViT")))
    assert model.identity.weights_sha256 == local.identity.weights_sha256
    assert (model.identity.name, model.classes) == (name, local.classes)
    assert not any("pytorch_model.bin" in request for request in published.requests)


def test_its_checkpoint_is_published_and_comes_back(published, tmp_path):
    quantized = vitquant.quantize(f"hf-hub:{NAME}", "w8a8", "noise", **BRIEF)
    path = tmp_path / "vit.safetensors"
    quantized.save(path)
    push(path, QUANTIZED)
    files = published.repositories[QUANTIZED].files
    config = json.loads(files["config.json"])
    assert (config["model_type"], config["architectures"]) == ("vit", ["ViTForImageClassification"])
    assert config["id2label"]["3"] == "kind 3"
    card = files["README.md"].decode()
    assert f"base_model: {NAME}" in card
    assert "- transformers" in card
    assert "an nn.Module of transformers" in card

    name = f"hf-hub:{QUANTIZED}"
    assert isinstance(resolve(name), HubCheckpoint)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(open_model(name)(images), quantized.model(images))
    assert torch.equal(vitquant.load(name)(images).logits, quantized.model(images))


def test_a_copy_of_a_published_folder_is_a_checkpoint(published, tmp_path):
    quantized = vitquant.quantize(f"hf-hub:{NAME}", "w8a8", "noise", **BRIEF)
    path = tmp_path / "vit.safetensors"
    quantized.save(path)
    push(path, QUANTIZED)
    folder = tmp_path / "copy"
    folder.mkdir()
    for file, data in published.repositories[QUANTIZED].files.items():
        (folder / file).write_bytes(data)
    assert open_model(str(folder)).identity == quantized.model.identity


def test_a_repository_of_another_type(hub, folders):
    hub.hold(NAME, {"config.json": json.dumps({"model_type": "bert"}).encode()})
    with pytest.raises(UserError, match="a model of the type 'bert'; accepted of transformers"):
        load_float(f"hf-hub:{NAME}")
