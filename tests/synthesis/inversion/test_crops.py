"""Shifted, flipped, enlarged: what an image looks like in an iteration."""

import random

import pytest
import torch

from vitquant.synthesis.inversion.crops import CropAxis, apply_crops, sample_crop


@pytest.fixture
def image():
    return torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_the_whole_is_the_image_itself(image):
    assert torch.equal(apply_crops(image, [(CropAxis(8, 0, 8), CropAxis(8, 0, 8))]), image)


def test_a_shift_goes_round_the_edges(image):
    seen = apply_crops(image, [(CropAxis(8, 3, 8), CropAxis(8, -2, 8))])
    assert torch.equal(seen, image.roll((-3, 2), (2, 3)))


def test_a_flip(image):
    assert torch.equal(
        apply_crops(image, [(CropAxis(8, 0, 8), CropAxis(8, 0, 8, flipped=True))]), image.flip(3)
    )


def test_a_part_is_enlarged_and_shows_nothing_beyond_it(image):
    image[..., 4:, :] = 100
    seen = apply_crops(image, [(CropAxis(8, 0, 4), CropAxis(8, 0, 4))])
    assert seen.shape == image.shape
    assert seen.max() <= 1
    wanted = torch.nn.functional.interpolate(image[..., :4, :4], scale_factor=2, mode="bilinear")
    assert torch.allclose(seen, wanted, atol=1e-6)


def test_rows_sum_to_one():
    for axis in (CropAxis(7, 2.3, 4.1), CropAxis(7, -3, 7), CropAxis(7, 6.5, 1.0, flipped=True)):
        assert torch.allclose(axis.matrix().sum(1), torch.ones(7))


def test_a_random_crop_is_of_the_area_and_of_the_seed():
    rows, columns = sample_crop(random.Random(1), 32, 64, area=0.25, jitter=4)
    assert (rows.length, columns.length) == (16, 32)
    assert (rows, columns) == sample_crop(random.Random(1), 32, 64, area=0.25, jitter=4)
    assert -4 <= rows.start <= 32 - 16 + 4


def test_it_is_differentiable(image):
    double = image.double().requires_grad_()
    views = [(CropAxis(8, 1.5, 5), CropAxis(8, -1, 8, flipped=True))]
    assert torch.autograd.gradcheck(lambda x: apply_crops(x, views), double)
