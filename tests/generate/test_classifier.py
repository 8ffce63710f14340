"""The model sees drawn images as it sees files."""

import pytest
import torch
from PIL import Image

from vitquant.generate.classifier import Classifier


def test_preprocessing_is_the_models_own_but_for_rounding(model):
    pixels = torch.randint(0, 256, (3, 48, 48), generator=torch.Generator().manual_seed(0))
    pixels = torch.nn.functional.avg_pool2d(pixels.float(), 5, 1, 2).round().to(torch.uint8)
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    classifier = Classifier(model, "cpu")
    ours = classifier(pixels[None].float() / 255)[0]
    theirs = classifier.seen(model.transform()(picture)[None])[0]
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.02)


def test_gradients_reach_the_pixels(model):
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    logits, features = Classifier(model, "cpu")(images)
    assert logits.shape == (2, 10)
    assert features.shape == (2, 96)
    logits.sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.module.parameters())


@pytest.mark.parametrize("family", ["distilled", "swin", "clip", "eva02"])
def test_other_families_give_features_too(family, make_small):
    logits, features = Classifier(make_small(family), "cpu")(torch.rand(2, 3, 40, 40))
    assert logits.shape == (2, 10)
    assert features.dim() == 2
