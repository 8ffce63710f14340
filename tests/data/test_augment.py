"""Random views depend on nothing but the seed, and stay inside the picture."""

import random

import pytest
from PIL import Image

from vitquant.data.augment import Augmentation, Views, crop_box
from vitquant.data.image_source import ListSource


def source(count=5, size=(60, 40)):
    gradient = Image.linear_gradient("L").resize(size)
    pictures = [gradient.point(lambda v, i=i: (v + 40 * i) % 256) for i in range(count)]
    return ListSource("gradients", [picture.convert("RGB") for picture in pictures])


def views(seed=0, count=12, **changes):
    options = Augmentation(**changes)
    return Views(source(), list(range(5)), (32, 24), options, count, seed)


def test_a_view_depends_on_the_seed_and_its_number_alone():
    first, second = views(), views()
    forwards = [first.image(i).tobytes() for i in range(12)]
    backwards = [second.image(i).tobytes() for i in reversed(range(12))]
    assert forwards == backwards[::-1]
    assert forwards != [views(seed=1).image(i).tobytes() for i in range(12)]
    assert len(set(forwards)) == 12


def test_a_view_has_the_size_asked_for():
    assert len(views()) == 12
    assert views().image(0).size == (24, 32)


def test_every_picture_is_seen_equally_often():
    found = views(count=10, min_area=1, flip=0)
    shown = [found.image(i).tobytes() for i in range(10)]
    assert all(shown.count(view) == 2 for view in shown)
    assert len(set(shown[:5])) == 5


@pytest.mark.parametrize("image", [(60, 40), (40, 60), (500, 3), (1, 1)])
@pytest.mark.parametrize("size", [(32, 32), (32, 8)])
@pytest.mark.parametrize("min_area", [0.0, 0.4, 1.0])
def test_boxes_lie_inside_the_picture(image, size, min_area):
    draw = random.Random(0)
    for _ in range(200):
        left, top, right, bottom = crop_box(image, size, min_area, draw)
        assert 0 <= left <= right <= image[0] + 1e-9
        assert 0 <= top <= bottom <= image[1] + 1e-9


def test_a_whole_picture_is_the_largest_box_of_the_shape():
    left, top, right, bottom = crop_box((60, 40), (32, 32), 1.0, random.Random(0))
    assert (right - left, bottom - top) == pytest.approx((40, 40))


def test_flips_come_as_often_as_asked():
    plain, flipped = views(flip=0, min_area=1).image(0), views(flip=1, min_area=1).image(0)
    assert plain.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes() == flipped.tobytes()
