"""Reports from Python: models of every source, and texts."""

import shutil

import pytest
import torch
from generators.small_tokenizer import write_tokenizer
from torch import nn

import vitquant
from vitquant.core.errors import UserError
from vitquant.data.sources.digits import digits

BRIEF = {"latency": False, "corruption_images": 0}


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A folder of eight digits without classes."""
    folder = tmp_path_factory.mktemp("flat")
    for i, (image, _) in enumerate(digits("test")[:8]):
        image.save(folder / f"{i}.png")
    return folder


def quantized(model, path, calib, bits="w8a8", **more):
    made = vitquant.quantize(model, bits, str(calib), method="rtn", samples=8, **more)
    made.save(path)
    return path


def test_no_page_is_written_unless_one_is_asked_for(tmp_path, flat):
    file = quantized("vit_digits", tmp_path / "a.safetensors", flat)
    found = vitquant.report(file, data=flat, **BRIEF)
    assert found.accuracy.agreement.estimate == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    vitquant.report(file, tmp_path / "a.html", latency=False)
    assert (tmp_path / "a.html").is_file()


def test_a_collapsed_model_is_explained(tmp_path):
    made = vitquant.quantize("vit_digits", "w8a8", "digits", method="rtn", samples=8)
    layer = made.module.blocks[1].mlp.fc2
    layer.bias.copy_(1e4 * (torch.arange(len(layer.bias)) % 7))  # swamps what the tokens say
    layer.input.scale.mul_(8)
    made.save(tmp_path / "a.safetensors")
    found = vitquant.report(tmp_path / "a.safetensors", data="digits", images=32, **BRIEF)
    assert found.accuracy.agreement.estimate < 0.28
    assert found.collapse.value == found.accuracy.agreement.estimate
    assert found.collapse.block == "blocks.1"
    assert (found.collapse.tensor.name, found.collapse.tensor.tensor) == (
        "blocks.1.mlp.fc2",
        "input",
    )
    assert "collapse" not in found.missing
    assert found.changed.count > 20


@pytest.mark.parametrize("family", ["DINOv2, no classifier", "CLIP"])
def test_towers_of_transformers(folders, tmp_path, flat, family):
    file = quantized(str(folders(family)), tmp_path / "a.safetensors", flat)
    found = vitquant.report(file, data=flat, corruption_images=2)
    assert found.accuracy.quantized.top1 is None
    assert 0.5 < found.accuracy.cosine <= 1
    assert found.accuracy.relative_error < 0.8
    assert found.blocks.blocks
    assert found.corruptions.measure == "cosine"
    assert found.latencies.rows
    assert found.missing["changed"] == "the model has no classes"


def test_text_towers(folders, tmp_path):
    folder = write_tokenizer(shutil.copytree(folders("CLIP"), tmp_path / "clip"))
    texts = tmp_path / "texts.txt"
    texts.write_text("a photo of a cat\na photo of a dog\na drawing of a house\n")
    file = quantized(f"{folder}#text", tmp_path / "a.safetensors", texts)
    found = vitquant.report(file, data=texts)
    assert found.accuracy.images == 3
    assert 0.5 < found.accuracy.cosine <= 1
    assert found.calibration.found == 3
    assert found.calibration.sheet is None
    assert "texts" in found.missing["corruptions"]
    assert "texts" in found.missing["latencies"]
    with pytest.raises(UserError, match=r"data .*texts"):
        vitquant.report(file, data="digits")


class Small(nn.Module):
    """A network of nobody's library, without an attention."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.embed(x).flatten(2).mean(-1))


def build():
    torch.manual_seed(0)
    return Small().eval()


TRANSFORM = {
    "input_size": (3, 32, 32), "interpolation": "bicubic", "crop_pct": 1.0,
    "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5),
}  # fmt: skip


def test_a_module_of_the_user(tmp_path, flat):
    file = tmp_path / "a.safetensors"
    quantized(build(), file, flat, transform=TRANSFORM, build=build)
    with pytest.raises(UserError, match="reference='none' makes the report without it"):
        vitquant.report(file, build=build, data=flat)
    found = vitquant.report(file, build=build, data=flat, reference="none", latency=False)
    assert found.blocks is None
    assert [row.name for row in found.activations.rows] == ["embed", "head"]
    assert found.missing["corruptions"]


def test_weights_alone_have_no_activations(tmp_path, flat):
    file = quantized("vit_digits", tmp_path / "a.safetensors", flat, bits="w4a16")
    found = vitquant.report(file, data=flat, **BRIEF)
    assert found.activations is None
    assert found.missing["activations"] == "no activation is quantized"
    assert len(found.blocks.blocks) == 4
    assert found.model.mean_activation_bits is None
