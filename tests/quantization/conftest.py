"""What a method works on, attentions of unknown classes, and models that are awkward."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vitquant.core.progress import Silent
from vitquant.quantization.graph.keep_float import keep_float
from vitquant.quantization.graph.points import example_inputs, find_points
from vitquant.quantization.ptq.bit_assignment import assign_bits
from vitquant.quantization.ptq.context import PTQContext, load_init_images


class Tower(nn.Module):
    """A classifier for 32 by 32 pixels around some attention blocks of 24 channels."""

    num_classes = 10

    def __init__(self, *attentions):
        super().__init__()
        self.embed = nn.Conv2d(3, 24, 8, 8)
        self.blocks = nn.ModuleList(attentions)
        self.head = nn.Linear(24, 10)

    def forward(self, x):
        x = self.embed(x).flatten(2).mT
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean(1))


class Plain(nn.Module):
    """One head. ``combine`` is what subclasses write differently."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(24, 72)
        self.proj = nn.Linear(24, 24)

    def forward(self, x):
        return self.proj(self.combine(*self.qkv(x).chunk(3, -1)))


class AtSign(Plain):
    def combine(self, q, k, v):
        return (q @ k.mT).softmax(-1) @ v


class Matmul(Plain):
    def combine(self, q, k, v):
        return torch.matmul(torch.matmul(q, k.transpose(1, 2)).softmax(-1), v)


class Methods(Plain):
    def combine(self, q, k, v):
        return q.matmul(k.mT).softmax(-1).bmm(v)


class Bmm(Plain):
    def combine(self, q, k, v):
        return torch.bmm(torch.bmm(q, k.mT).softmax(-1), v)


class Keywords(Plain):
    def combine(self, q, k, v):
        return torch.matmul(input=torch.matmul(q, other=k.mT).softmax(-1), other=v)


class Fused(Plain):
    def combine(self, q, k, v):
        return F.scaled_dot_product_attention(query=q, key=k, value=v, scale=1.0)


class EinsumAttention(Plain):
    def combine(self, q, k, v):
        return torch.einsum("bnm,bmc->bnc", torch.einsum("bnc,bmc->bnm", q, k).softmax(-1), v)


class BaddbmmAttention(Plain):
    def combine(self, q, k, v):
        bias = q.new_zeros(q.shape[0], q.shape[1], k.shape[1])
        return torch.baddbmm(bias, q, k.mT).softmax(-1) @ v


class HiddenAttention(Plain):
    """Multiplies without any product that could be seen."""

    def combine(self, q, k, v):
        weights = (q[:, :, None] * k[:, None]).sum(-1).softmax(-1)
        return (weights[..., None] * v[:, None]).sum(2)


class TorchAttention(nn.Module):
    """torch's own attention, whose insides are one function."""

    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(24, 3, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x)[0]


VISIBLE = {c.__name__: c for c in (AtSign, Matmul, Methods, Bmm, Keywords, Fused)}
UNSUPPORTED = {
    "EinsumAttention": EinsumAttention,
    "BaddbmmAttention": BaddbmmAttention,
    "HiddenAttention": HiddenAttention,
    "MultiheadAttention": TorchAttention,
}


def _tower(attention):
    torch.manual_seed(0)
    return Tower(attention(), attention()).eval().requires_grad_(False)


@pytest.fixture(params=VISIBLE)
def visible(request):
    """A tower whose products are written in one of many ways."""
    return _tower(VISIBLE[request.param])


@pytest.fixture
def plain():
    """A tower whose attention is `(q @ k.mT).softmax() @ v`."""
    return _tower(AtSign)


@pytest.fixture(params=UNSUPPORTED)
def unsupported(request):
    """(a tower with an attention that cannot be quantized, that attention's class)."""
    return _tower(UNSUPPORTED[request.param]), request.param


@pytest.fixture
def make_context(images):
    """make_context(model, settings) → a context on the four pictures."""

    def make(model, settings) -> PTQContext:
        points = find_points(model.module, example_inputs(model.input_size), model.tokens)
        points = keep_float(points, settings.keep_float or (), "--keep-float")
        bits = assign_bits(settings.assignment, model.classifier_names, points)
        init = load_init_images(model, images, settings, device := torch.device("cpu"))
        return PTQContext(model, points, bits, images, init, settings, Silent(), device)

    return make


@pytest.fixture
def rounds_nothing(monkeypatch):
    """Fake quantizers apply their rescaling and leave values as they are."""

    def value(x, q, dtype, use_compiled):
        return x if q is None or q.multiplier is None else x * q.multiplier

    monkeypatch.setattr("vitquant.quantization.quantizers.matmul._value", value)
    monkeypatch.setattr(
        "vitquant.quantization.quantizers.per_channel.fake_quantize", lambda w, *args, **kwargs: w
    )
    monkeypatch.setattr(
        "vitquant.quantization.layers.conv.fake_quantize", lambda x, *args, **kwargs: x
    )


@pytest.fixture
def spoil():
    """spoil(model): gives its norms channels that are zero, constant, positive, or far out."""

    @torch.no_grad()
    def make(model):
        for module in model.module.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight[:6] = 0
                module.bias[:3] = 0
                module.bias[3] = 20
                module.bias[6] = 20
                module.weight[7] *= 100
                module.weight[8] *= 1e-3
        return model

    return make
