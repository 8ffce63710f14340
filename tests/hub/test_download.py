"""Reading a model back from a Hub over HTTP."""

import json
import threading

import pytest
import torch
from safetensors.torch import save

import vitquant
from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.cli.main import main
from vitquant.core.errors import UserError
from vitquant.data.sources.digits import CLASS_NAMES, digits
from vitquant.hub.publish import push
from vitquant.models.sources import load_float
from vitquant.workflows.open import FloatName, HubCheckpoint, open_model, resolve

NAME = "someone/vit-digits-w4a4"
MODEL = f"hf-hub:{NAME}"


@pytest.fixture
def batch():
    """(2, 3, 32, 32) of noise."""
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def outputs(module, batch):
    with torch.inference_mode():
        return module(batch)


def test_a_published_model_comes_back_bit_for_bit(hub, checkpoint, batch):
    push(checkpoint, NAME)
    assert isinstance(resolve(MODEL), HubCheckpoint)
    ours = outputs(restore(read_checkpoint(checkpoint)).module, batch)
    assert torch.equal(outputs(open_model(MODEL).module, batch), ours)
    assert torch.equal(outputs(vitquant.load(MODEL), batch), ours)


def test_revisions(hub, checkpoint, tmp_path):
    first = push(checkpoint, NAME).commit
    hub.repositories[NAME].commit({"config.json": b"{}"}, "theirs")
    with pytest.raises(UserError, match="holds a float model"):
        vitquant.load(MODEL)
    assert vitquant.load(MODEL, revision=first).num_classes == 10
    assert vitquant.load(f"{MODEL}@{first}").num_classes == 10
    with pytest.raises(UserError, match="give one of them"):
        vitquant.load(f"{MODEL}@{first}", revision="main")
    with pytest.raises(UserError, match="goes with hf-hub:owner/name"):
        vitquant.load(checkpoint, revision="main")


@pytest.mark.slow
def test_inspect_and_export_take_it_from_there(hub, checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    push(checkpoint, NAME)
    capsys.readouterr()
    assert main(["inspect", MODEL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "vit_digits"
    assert main(["export", MODEL, "--images", "2"]) == 0
    assert capsys.readouterr().out == "vit-digits-w4a4.onnx\n"
    assert (tmp_path / "vit-digits-w4a4.onnx").is_file()
    assert main(["quantize", MODEL, "--bits", "w4a4"]) == 2
    assert "quantized already" in capsys.readouterr().err.splitlines()[-1]


def test_the_program_evaluates_it(hub, checkpoint, tmp_path, capsys):
    push(checkpoint, NAME)
    for label, name in enumerate(CLASS_NAMES):
        (tmp_path / "images" / name).mkdir(parents=True)
        image = next(image for image, of in digits("test") if of == label)
        image.save(tmp_path / "images" / name / "0.png")
    arguments = ["eval", MODEL, "--data", str(tmp_path / "images"), "--reference", "float"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == MODEL
    assert found["top1"] >= 0.9
    assert found["reference"]["model"] == "vit_digits"


def test_float_models_on_the_hub_keep_working(hub, batch):
    model = load_float("vit_digits")
    cfg = {"mean": [0.5] * 3}
    config = {"architecture": "vit_digits", "num_classes": 10, "pretrained_cfg": cfg}
    tensors = {name: tensor.contiguous() for name, tensor in model.module.state_dict().items()}
    hub.hold(
        "someone/float",
        {"config.json": json.dumps(config).encode(), "model.safetensors": save(tensors)},
    )
    opened = open_model("hf-hub:someone/float")
    assert isinstance(resolve("hf-hub:someone/float"), FloatName)
    assert torch.equal(outputs(opened.module, batch), outputs(model.module, batch))
    with pytest.raises(UserError, match="holds a float model"):
        vitquant.load("hf-hub:someone/float")


def test_no_weights_beside_a_published_checkpoint(hub, checkpoint, tmp_path):
    push(checkpoint, NAME)
    with pytest.raises(UserError, match="holds its own"):
        open_model(MODEL, num_classes=3)


@pytest.mark.parametrize("config", [b"no json", b"[]"])
def test_a_repository_of_something_else(hub, config):
    hub.hold(NAME, {"config.json": config})
    with pytest.raises(UserError, match=r"could not be read from the Hub \(config.json is not"):
        open_model(MODEL)


def test_a_repository_that_does_not_exist(hub):
    with pytest.raises(UserError, match="could not be read from the Hub") as raised:
        open_model("hf-hub:no/body")
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="could not be read from the Hub"):
        open_model("hf-hub:not a name")


def test_a_checkpoint_that_was_damaged_on_its_way(hub, checkpoint):
    push(checkpoint, NAME)
    files = hub.repositories[NAME].files
    data = bytearray(files["model.safetensors"])
    data[-1] ^= 1
    hub.repositories[NAME].commit(files | {"model.safetensors": bytes(data)}, "damaged")
    with pytest.raises(UserError, match="damaged"):
        vitquant.load(MODEL)


def test_a_repository_without_its_checkpoint(hub, checkpoint):
    push(checkpoint, NAME)
    del hub.repositories[NAME].files["model.safetensors"]
    with pytest.raises(UserError, match="could not be read from the Hub"):
        vitquant.load(MODEL)


def test_a_refusal_does_not_repeat_the_token(hub, token):
    hub.broken["resolve"] = 401
    with pytest.raises(UserError, match="could not be read from the Hub") as raised:
        open_model(MODEL)
    assert token not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_a_hub_that_hangs(hub, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr("vitquant.hub.repository._PATIENCE", 1.0)
    monkeypatch.setattr("vitquant.hub.repository.hf_hub_download", lambda *_, **__: released.wait())
    with pytest.raises(UserError, match="no answer within 1 s"):
        open_model(MODEL)
    released.set()
