"""What an adapter tells: tokens and how much each counts, and that it is enough to quantize."""

from types import SimpleNamespace

import pytest
import timm
import torch
from torch import nn
from torchvision.transforms.functional import pil_to_tensor

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.config.quantize import QuantizeSettings
from vitquant.core.errors import UserError
from vitquant.data.sources.noise import SmoothNoiseSource
from vitquant.models import sources
from vitquant.models.adapter import ModelAdapter, TokenLayout
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.sources.from_timm_module import from_timm_module
from vitquant.workflows.ptq import quantize


def weights_of(model, tokens):
    return model.tokens.weights(torch.zeros(2, tokens, 48))


def test_a_class_token_counts_as_much_as_all_patches(make_small):
    weights = weights_of(make_small("vit"), 17)
    assert weights.shape == (17, 1)
    assert weights.mean().item() == pytest.approx(1)
    assert weights[0].item() == pytest.approx(weights[1:].sum().item())


def test_two_class_tokens_share(make_small):
    weights = weights_of(make_small("distilled"), 18)
    assert weights[:2].sum().item() == pytest.approx(weights[2:].sum().item())


def test_registers_count_as_patches(make_small):
    weights = weights_of(make_small("dinov2"), 21)
    assert weights[1].item() == weights[20].item() < weights[0].item()


@pytest.mark.parametrize(("family", "tokens"), [("swin", 16), ("siglip", 16), ("vit", 12)])
def test_where_no_token_stands_out(family, tokens, make_small):
    assert weights_of(make_small(family), tokens) is None


@pytest.mark.parametrize(
    ("family", "shape", "rows"),
    [
        ("vit", (2, 17, 48), 1),
        ("vit", (2, 3, 17, 16), 1),
        ("vit", (2, 48), 0),
        ("vit", (2, 16, 48), 0),
        ("distilled", (2, 18, 48), 2),
        ("dinov2", (2, 21, 48), 5),
        ("swin", (2, 16, 48), 0),
    ],
)
def test_rows_in_front_of_the_patches(family, shape, rows, make_small):
    assert make_small(family).tokens.num_prefix(torch.zeros(shape)) == rows


class Patches(nn.Module):
    """A transformer of one block that nobody knows, and what it returns is no tensor."""

    def __init__(self, width):
        super().__init__()
        self.cut = nn.Conv2d(3, width, 8, stride=8)
        self.first = nn.Parameter(torch.randn(1, 1, width))
        self.layers = nn.ModuleList([Block(width)])
        self.out = nn.Linear(width, 5)

    def forward(self, images):
        tokens = self.cut(images).flatten(2).mT
        tokens = torch.cat([self.first.expand(len(tokens), -1, -1), tokens], 1)
        for layer in self.layers:
            tokens = layer(tokens)
        return SimpleNamespace(logits=self.out(tokens[:, 0]), pooled=tokens[:, 0])


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.both, self.value = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        seen = self.norm(x)
        return x + (self.both(seen) @ seen.mT).softmax(-1) @ self.value(seen)


class PatchesAdapter(ModelAdapter):
    """Everything that a source has to say of such a network."""

    source = "patches"

    def output(self, returned):
        return returned.logits

    def num_classes(self, module):
        return 5

    def classifier_names(self, module):
        return {"out"}

    def tokens(self, module):
        return TokenLayout(class_tokens=1, patches=16, pools_class=True)

    def transform(self, preprocessing):
        height, width = preprocessing["input_size"][1:]
        return lambda image: pil_to_tensor(image.resize((width, height))) / 255

    def rebuild(self, architecture, arguments):
        return Patches(**arguments).eval()


@pytest.fixture
def foreign():
    """A model of a library of its own."""
    torch.manual_seed(0)
    adapter, arguments = PatchesAdapter(), {"width": 24}
    module = adapter.rebuild("Patches", arguments).requires_grad_(False)
    identity = ModelIdentity("mine", "Patches", arguments=arguments, source=adapter.source)
    preprocessing = {"input_size": (3, 32, 32), "mean": (0, 0, 0), "std": (1, 1, 1)}
    return Model(module, identity, preprocessing, None, adapter=adapter)


@pytest.mark.parametrize("method", ["rtn", "repq", "dfq", "joint", "block"])
def test_an_adapter_is_all_that_another_library_takes(
    method, foreign, images, settings, tmp_path, monkeypatch
):
    quantized = quantize(foreign, images, settings("w8a8", method))
    assert {layer.name for layer in quantized.header.layers} == {
        "cut", "layers.0.both", "layers.0.value", "out",
    }  # fmt: skip
    assert quantized.header.model["source"] == "patches"
    assert quantized.fidelity.agreement == 1
    inputs = torch.rand(2, 3, 32, 32)
    logits, seen = foreign.features(inputs)
    assert torch.equal(logits, foreign(inputs))
    assert torch.equal(foreign.module.out(seen), logits)
    difference = quantized.model(inputs) - foreign(inputs)
    assert 0 < difference.abs().max() < 0.1 * foreign(inputs).std()

    path = tmp_path / "mine.safetensors"
    quantized.save(path)
    with pytest.raises(UserError, match=r"'patches'.*timm"):
        restore(read_checkpoint(path))
    source = SimpleNamespace(ADAPTER=foreign.adapter)
    monkeypatch.setattr(sources, "SOURCES", (*sources.SOURCES, source))
    restored = restore(read_checkpoint(path))
    assert torch.equal(restored(inputs), quantized.model(inputs))
    assert (restored.num_classes, restored.identity) == (5, foreign.identity)


def test_attention_biases_that_timm_keeps_are_trained(tmp_path):
    torch.manual_seed(0)
    module = timm.create_model(
        "levit_128s", img_size=32, embed_dim=(32, 48, 64), key_dim=8, depth=(1, 1, 1)
    )
    for parameter in module.parameters():  # some factors start at zero
        parameter.data += 0.02 * torch.randn_like(parameter)
    model = from_timm_module(module)
    model.preprocessing["input_size"] = (3, 32, 32)
    settings = QuantizeSettings.build(
        bits="w8a8", calib="noise", method="joint", steps=2, batch_size=2, samples=2,
        init_images=2, compile=False, lr_norms=0.1,
    )  # fmt: skip
    quantized = quantize(model, SmoothNoiseSource(2, (32, 32)), settings)
    name = "stages.0.blocks.0.attn.attention_biases"
    before, after = module.get_parameter(name), quantized.module.get_parameter(name)
    assert not torch.equal(before, after)
    quantized.save(tmp_path / "levit.safetensors")
    restored = restore(read_checkpoint(tmp_path / "levit.safetensors"))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(restored(images), quantized.model(images))
