"""Random views depend on nothing but the seed, and stay inside the picture."""

import random

import pytest
from PIL import Image, ImageChops

from vitquant.data.augment import Augmentation, Views, crop_box, rand_bbox
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


def test_recurring_views_come_again_and_have_the_same_key():
    found = Views(source(), list(range(5)), (32, 24), Augmentation(), 20, 0, recurring=2)
    by_key = {}
    for i in range(20):
        by_key.setdefault(found.key(i), set()).add(found.image(i).tobytes())
    assert sorted(by_key) == [(image, number) for image in range(5) for number in (0, 1)]
    assert all(len(shown) == 1 for shown in by_key.values())


def test_mixing_shows_another_picture_in_part_of_the_view():
    plain = {"min_area": 1, "flip": 0}
    before, after = views(**plain).image(0), views(**plain, cutmix=1).image(0)
    changed = ImageChops.difference(before, after).convert("L").point(lambda v: 255 * (v > 0))
    left, top, right, bottom = changed.getbbox()
    assert 0.05 < (right - left) * (bottom - top) / (24 * 32) < 0.6


def test_blending_leaves_the_view_the_larger_part():
    plain = {"min_area": 1, "flip": 0}
    pictures = ListSource("flat", [Image.new("RGB", (8, 8), (v,) * 3) for v in (0, 200)])
    options = Augmentation(**plain, mixup=1)
    found = Views(pictures, [0, 1], (8, 8), options, 40, 0)
    for i in range(40):
        value = found.image(i).getpixel((0, 0))[0]
        assert value <= 100 if found.key(i)[0] == 0 else value >= 100
    assert len({found.image(i).getpixel((0, 0)) for i in range(40)}) > 5


def test_colors_stay_within_the_bounds():
    options = Augmentation(min_area=1, flip=0, color=0.3)
    pictures = ListSource("flat", [Image.new("RGB", (8, 8), (100, 100, 100))])
    found = Views(pictures, [0], (8, 8), options, 50, 0)
    values = {found.image(i).getpixel((0, 0))[0] for i in range(50)}
    assert len(values) > 10
    assert min(values) >= 70
    assert max(values) <= 130


@pytest.mark.parametrize("image", [(1, 1), (3, 200), (224, 224)])
def test_squares_lie_inside_the_picture(image):
    draw = random.Random(0)
    for _ in range(100):
        left, top, right, bottom = rand_bbox(image, draw)
        assert 0 <= left < right <= image[0]
        assert 0 <= top < bottom <= image[1]
