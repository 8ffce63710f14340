"""The model sees generated images as it sees files; how well, and how varied they are."""

from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from vitquant.synthesis.generated_source import GeneratedSource
from vitquant.synthesis.quality import Classifier, coverage, mean_pairwise_cosine, measure


def test_preprocessing_is_the_models_own_but_for_rounding(model):
    pixels = torch.randint(0, 256, (3, 48, 48), generator=torch.Generator().manual_seed(0))
    pixels = torch.nn.functional.avg_pool2d(pixels.float(), 5, 1, 2).round().to(torch.uint8)
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    classifier = Classifier(model, "cpu")
    ours = classifier(pixels[None].float() / 255)[0]
    theirs = classifier.logits_and_features(model.transform()(picture)[None])[0]
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


def test_it_is_the_mean_over_all_pairs():
    vectors = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    for found, members in zip(mean_pairwise_cosine(vectors), vectors, strict=True):
        pairs = [F.cosine_similarity(a, b, dim=0) for a, b in combinations(members, 2)]
        assert found.item() == pytest.approx(torch.stack(pairs).mean().item(), abs=1e-6)


def test_equal_vectors_are_alike_and_one_is_alike_to_nothing():
    assert mean_pairwise_cosine(torch.ones(3, 4)).item() == pytest.approx(1)
    assert mean_pairwise_cosine(torch.ones(2, 1, 4)).tolist() == [0, 0]


def test_the_metrics_are_the_models_own_view(finished, model):
    source = GeneratedSource(finished.path, "synthetic")
    metrics = measure(model, source, "cpu", real=source)
    correct = [row["correct"] for row in finished.rows]
    assert metrics.top1 == pytest.approx(sum(correct) / len(correct))
    assert -1 <= metrics.similarity <= 1
    assert metrics.coverage == 1
    assert measure(model, source, "cpu").coverage is None


def test_coverage_counts_the_real_samples_that_have_something_near():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    assert coverage(real, torch.tensor([[1.0]]), neighbors=2) == 0.5
    assert coverage(real, torch.tensor([[1.0], [11.0]]), neighbors=2) == 1
    assert coverage(real, torch.tensor([[100.0]]), neighbors=2) == 0
