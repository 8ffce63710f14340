"""What a name means."""

import pytest

from vitquant.core.errors import UserError
from vitquant.workflows import open as opening
from vitquant.workflows.open import (
    CheckpointFile,
    ExportedFile,
    FloatName,
    HubCheckpoint,
    open_model,
    resolve,
    resolve_checkpoint,
)


@pytest.fixture
def configs(monkeypatch):
    """configs(answer) → the repositories that were asked for their config, of which all say so."""

    def make(answer):
        asked = []
        monkeypatch.setattr(opening, "quantized_config", lambda r: asked.append(r.id) or answer)
        return asked

    return make


def test_names_and_files(tmp_path):
    file = tmp_path / "some file"
    file.touch()
    assert resolve("deit_small") == FloatName("deit_small")
    assert resolve("missing.safetensors") == CheckpointFile("missing.safetensors")
    assert resolve(str(file)) == CheckpointFile(str(file))
    assert resolve("model.onnx") == ExportedFile("model.onnx")
    with pytest.raises(UserError, match="revision: deit_small is a file"):
        resolve("deit_small", "main")


def test_a_repository_is_asked_once(configs, monkeypatch, tmp_path):
    asked = configs({"vitquant": {}})
    monkeypatch.setattr(opening, "checkpoint_file", lambda repository: tmp_path / "none")
    named = resolve("hf-hub:someone/model@v1")
    assert isinstance(named, HubCheckpoint)
    assert named.repository.revision == "v1"
    with pytest.raises(UserError):
        open_model(named)
    assert asked == ["someone/model"]


def test_a_float_model_of_the_hub_is_no_checkpoint(configs):
    configs(None)
    assert resolve("hf-hub:timm/model") == FloatName("hf-hub:timm/model")
    with pytest.raises(UserError, match=r"holds a float model"):
        resolve_checkpoint("hf-hub:timm/model")
