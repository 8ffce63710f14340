import random

import pytest
from PIL import Image, ImageChops

from vitquant.data.augment import Augmentation, Views, crop_box
from vitquant.data.image_source import ListSource


@pytest.fixture
def source():
    gradient = Image.linear_gradient("L").resize((40, 30))
    images = [Image.merge("RGB", [gradient.rotate(a)] * 3) for a in (0, 90, 180, 270)]
    return ListSource("gradients", images)


def views(source, count=12, seed=0, **augmentation):
    return Views(source, [0, 1, 2, 3], (16, 24), Augmentation(**augmentation), count, seed)


def same(a, b):
    return ImageChops.difference(a, b).getbbox() is None


def test_a_view_depends_on_seed_and_place_alone(source):
    first, again, other = views(source), views(source), views(source, seed=1)
    assert same(first.image(5), again.image(5))  # in any order, without the others
    assert not all(same(first.image(i), other.image(i)) for i in range(12))


def test_views_have_the_size_asked_for(source):
    assert {views(source).image(i).size for i in range(12)} == {(24, 16)}


def test_every_image_is_seen_equally_often(source):
    seen = views(source, count=10)._order
    counts = [seen.count(i) for i in range(4)]
    assert len(seen) == 10
    assert max(counts) - min(counts) <= 1
    assert sorted(seen[:4]) == [0, 1, 2, 3]


def test_without_augmentation_the_view_is_the_whole_image():
    image = Image.linear_gradient("L").convert("RGB").resize((24, 16))
    plain = Views(ListSource("x", [image]), [0], (16, 24), Augmentation(1.0, 0.0), 3, 0)
    assert all(same(plain.image(i), image) for i in range(3))


def test_flip_probability_one_always_flips():
    image = Image.linear_gradient("L").rotate(90).convert("RGB").resize((24, 16))
    flipped = Views(ListSource("x", [image]), [0], (16, 24), Augmentation(1.0, 1.0), 3, 0)
    mirror = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert all(same(flipped.image(i), mirror) for i in range(3))


@pytest.mark.parametrize("min_area", [0.0, 0.08, 0.4, 1.0])
@pytest.mark.parametrize("image", [(500, 375), (60, 200), (1, 1)])
def test_crops_lie_inside_the_image(image, min_area):
    draw = random.Random(0)
    for _ in range(200):
        left, top, right, bottom = crop_box(image, (224, 224), min_area, draw)
        assert 0 <= left < right <= image[0] + 1e-6
        assert 0 <= top < bottom <= image[1] + 1e-6


def test_small_crops_occur_and_none_is_smaller_than_asked():
    draw = random.Random(0)
    boxes = [crop_box((100, 100), (10, 10), 0.4, draw) for _ in range(500)]
    areas = [(right - left) * (bottom - top) / 100**2 for left, top, right, bottom in boxes]
    # The aspect may take a quarter of the largest square, the crop then 60% of what is left.
    assert 0.4 * 0.75 - 1e-6 <= min(areas) < 0.4
    assert max(areas) > 0.85
