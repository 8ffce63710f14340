"""What a method works on, and a way to see what it computes apart from rounding."""

import pytest
import torch
from torch import nn

from vitquant.methods.job import Job
from vitquant.models.wiring import discover, example_images
from vitquant.progress import Silent


@pytest.fixture
def make_job(images):
    """make_job(model, settings) → a job on the four pictures."""

    def make(model, settings) -> Job:
        wiring = discover(model.module, example_images(model.input_size))
        return Job(model, wiring, images, settings, Silent(), torch.device("cpu"))

    return make


@pytest.fixture
def rounds_nothing(monkeypatch):
    """Learned quantizers apply their rescaling and leave values as they are."""

    def value(x, q, dtype):
        return x if q is None or q.multiplier is None else x * q.multiplier

    monkeypatch.setattr("vitquant.quantizers.matmul._value", value)
    monkeypatch.setattr("vitquant.quantizers.per_channel.fake_quantize", lambda w, scale, grid: w)
    monkeypatch.setattr("vitquant.layers.conv.quantized", lambda x, q: x)


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
