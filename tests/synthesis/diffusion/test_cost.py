"""What is told of a long run before it begins."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vitquant.synthesis.diffusion import cost as module
from vitquant.synthesis.diffusion.cost import Estimate, ImageCost, count_flops, say_estimate
from vitquant.synthesis.diffusion.prompt_text import PLAIN
from vitquant.synthesis.quality import Classifier

COST = ImageCost(forward=10**12, step=3 * 10**12)


@pytest.fixture
def fixed(monkeypatch):
    """A machine and networks with known figures."""
    monkeypatch.setattr(module, "matmul_rate", lambda device, dtype: 1e11 / 0.9)
    monkeypatch.setattr(module, "count_flops", lambda generator, model: COST)


def test_it_counts_what_is_computed(generator, model):
    """As torch counts it on real tensors, where attention is made of products that it knows."""
    classifier = Classifier(model, "cpu")
    ids = generator.prompt_tokenizer.prompt(PLAIN, "thing").ids[None]
    learned = generator.embeddings(ids).requires_grad_()
    noise = torch.randn(1, *generator.noise_shape)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        logits, _ = classifier(generator.generate(generator.encode(ids, learned), noise))
        forward = counter.get_total_flops()
        logits.sum().backward()
    assert count_flops(generator, model) == ImageCost(forward, counter.get_total_flops())


def test_networks_stay_as_they_are(generator, model):
    before = [p.clone() for p in generator.parameters()]
    count_flops(generator, model)
    assert generator.device.type == "cpu"
    assert all(map(torch.equal, before, generator.parameters()))
    assert next(model.module.parameters()).device.type == "cpu"


def test_the_estimate_adds_up():
    """Images of each prompt before and after learning, its steps, and the images at the end."""
    estimate = Estimate(COST, rate=1e12, prompts=100, steps=40, looks=1, images=50)
    assert estimate.flops == (100 * 40 * 3 + 2 * 100 + 50) * 10**12
    assert estimate.seconds == 12250


def test_what_is_said(fixed, generator, model, listener):
    say_estimate(generator, model, listener, prompts=1000, steps=40, images=1024)
    say_estimate(generator, model, listener, images=1024)
    assert listener.said == [
        "estimate: learning 1,000 prompts at up to 40 steps and drawing 1,024 images takes at most "
        "about 14 days here (3 TFLOP an image with its gradients; 0.1 TFLOP/s, from a measurement)",
        "estimate: drawing 1,024 images takes about 3 hours here (1 TFLOP an image; 0.1 TFLOP/s, "
        "from a measurement)",
    ]


def test_nothing_is_said_of_short_runs(fixed, generator, model, listener):
    say_estimate(generator, model, listener, images=5)
    assert listener.said == []


def test_nor_of_networks_that_cannot_be_followed(generator, model, listener, monkeypatch):
    def refuse(generator, model):
        raise RuntimeError("no values")

    monkeypatch.setattr(module, "count_flops", refuse)
    say_estimate(generator, model, listener, images=10**9)
    assert listener.said == []
