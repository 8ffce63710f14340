"""Damaged images, and what two models make of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from vitquant.core.progress import Silent
from vitquant.data.image_source import ListSource
from vitquant.reports.measurements.images.corruptions import KINDS, corruptions, what_is_missing
from vitquant.reports.measurements.images.pictures import View


@pytest.fixture
def picture(images) -> Image.Image:
    return images.image(0).resize((224, 224), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_more_strength_is_more_damage_and_a_seed_repeats_it(picture, kind, mode):
    picture, about = picture.convert(mode), KINDS[kind]
    before, distances = np.asarray(picture, dtype=float), []
    for strength in about.strengths:
        first, second = (about.damage(picture, strength, 3) for _ in range(2))
        assert (first.mode, first.size) == (mode, picture.size)
        assert first.tobytes() == second.tobytes()
        distances.append(np.abs(np.asarray(first, dtype=float) - before).mean())
    assert 0 < distances[0] < distances[1] < distances[2]


def test_a_view_goes_there_and_back(make_small, images):
    model = make_small("vit")
    view = View(model)
    seen = model.transform()(images.image(0))
    # Half a step of 255, with a standard deviation of one half.
    torch.testing.assert_close(view.tensor(view.image(images.image(0))), seen, atol=4.1e-3, rtol=0)


def test_top1_of_both_models(digits_subject, some_digits):
    subject = digits_subject("w4a4")
    found = corruptions(subject, some_digits, 20, 8, Silent(), "cpu")
    assert found.images == 20
    assert found.measure == "top1"
    assert [(row.kind, row.strength) for row in found.rows] == [
        (k, i) for k in KINDS for i in (1, 2, 3)
    ]
    assert found.clean_reference >= 0.9
    worst = {row.kind: row.reference for row in found.rows if row.strength == 3}
    assert worst["noise"] <= found.clean_reference
    assert all(row.picture.data for row in found.rows)


def test_without_labels_the_two_are_compared(digits_subject, some_digits):
    subject = digits_subject("w8a8")
    unlabeled = ListSource("digits", [some_digits.image(i) for i in range(8)])
    found = corruptions(subject, unlabeled, 8, 8, Silent(), "cpu")
    assert found.measure == "agreement"
    assert found.clean_quantized == 1
    assert found.clean_reference is None
    assert what_is_missing(subject, labeled=False) is None
    alone = digits_subject("w8a8", with_reference=False)
    assert "float model" in what_is_missing(alone, labeled=False)
    assert what_is_missing(alone, labeled=True) is None


def test_towers_have_cosines(make_small, subject_of, images):
    subject = subject_of(make_small("siglip"), bits="w8a8")
    found = corruptions(subject, images, 2, 2, Silent(), "cpu")
    assert found.measure == "cosine"
    assert 0.9 < found.clean_quantized <= 1
