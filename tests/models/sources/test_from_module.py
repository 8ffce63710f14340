"""Modules of any class: their transform, their size, and whether they can be built again."""

import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import pil_to_tensor

from vitquant.core.errors import UserError
from vitquant.models.sources.from_module import from_module, image_mode


class Small(nn.Module):
    """Images of any size → a map of its own size, times a number that no state holds."""

    def __init__(self, channels=3, width=4, factor=1.0):
        super().__init__()
        self.first, self.last = nn.Conv2d(channels, width, 3), nn.Conv2d(width, 5, 1)
        self.factor = factor

    def forward(self, images):
        return self.last(self.first(images).relu() * self.factor).mean((2, 3))


def to_tensor(image):
    return pil_to_tensor(image.resize((16, 12))) / 255


def refused(words, *arguments, **keywords):
    with pytest.raises(UserError, match=words) as error:
        from_module(*arguments, **keywords)
    assert "\n" not in str(error.value)


def test_a_function_tells_the_size_of_its_images():
    module = Small().train().half()
    model = from_module(module, to_tensor)
    assert model.preprocessing == {"input_size": (3, 12, 16)}
    assert model.input_size == (3, 12, 16)
    assert model.num_classes == 0
    assert model.identity.to_json() | {"weights_sha256": ""} == {
        "name": "Small", "architecture": "Small", "tag": "", "arguments": {},
        "weights_sha256": "", "float_bytes": 4 * 137, "source": "module",
    }  # fmt: skip
    assert torch.equal(model.transform()(Image.new("L", (9, 9))), torch.zeros(3, 12, 16))
    assert not model.module.training
    assert module.training
    assert module.first.weight.dtype == torch.half


def test_a_function_has_to_give_that_size_for_every_image():
    model = from_module(Small(), lambda image: pil_to_tensor(image) / 255, input_size=(3, 8, 8))
    assert model.transform()(Image.new("RGB", (8, 8))).shape == (3, 8, 8)
    with pytest.raises(UserError, match=r"^transform: of an image of 9x8 .*\(3, 8, 8\) for every"):
        model.transform()(Image.new("RGB", (9, 8)))


def test_a_dictionary_is_completed_as_timm_does():
    model = from_module(Small(), {"input_size": [3, 20, 24], "crop_pct": 1.0})
    assert model.preprocessing["input_size"] == (3, 20, 24)
    assert model.preprocessing["mean"] == (0.485, 0.456, 0.406)
    assert model.preprocessing["crop_pct"] == 1.0
    assert model.transform()(Image.new("RGB", (50, 40))).shape == (3, 20, 24)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (4, "RGBA")])
def test_images_of_other_channels(channels, mode):
    picture = Image.new(mode, (30, 30), 77 if channels == 1 else (7, 77, 177, 0))
    for transform in (to_tensor, {"input_size": (channels, 12, 16)}):
        assert image_mode(transform, [picture]) == mode
        model = from_module(Small(channels), transform, example=picture)
        assert model.image_mode == mode
        found = model.transform()(picture)
        assert found.shape == (channels, 12, 16)
        assert model(found[None]).shape == (1, 5)
        assert model.transform()(picture.convert("RGB")).shape == found.shape
    assert image_mode(to_tensor, [picture, Image.new("RGB", (3, 3))]) == "RGB"


def test_classes_name_the_logits_and_find_the_classifier():
    names = ["a", "b", "c", "d", "e"]
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 5))
    small = {"input_size": (3, 4, 4)}
    model = from_module(network, small, classes=names)
    assert (model.num_classes, model.classifier_names) == (5, {"3"})
    assert model.classes.names == tuple(names)
    refused(r"^classes: 2 names, and .* \(5,\)", network, small, classes=["a", "b"])
    refused("^classes: 'abcde' is not a list", network, small, classes="abcde")
    refused(r"^classes: 5 names, .*\(4, 2, 2\)", nn.Conv2d(3, 4, 3), small, classes=names)


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (None, "^transform: it is missing; a function"),
        (3, "^transform: 3 is none; a function"),
        ({"input_size": (3, 8, 8), "interpolation": "cubist"}, "does not take .*KeyError"),
        ({}, "^transform: input_size is missing"),
        ({"input_size": (3, 8)}, r"^transform: input_size: \(3, 8\) is not"),
        ({"input_size": (2, 8, 8)}, "^transform: images have no 2 channels"),
        ({"input_size": (3, 8, 8), "mean": (0.5, 0.5)}, "^transform: mean has 2 values"),
        ({"input_size": (3, 8, 8), "size": 8}, "^transform: 'size' is none of input_size"),
        (lambda image: image, "^transform: it returns a Image; a float tensor"),
        (pil_to_tensor, r"^transform: it returns a torch.uint8 tensor of \(3, 500, 640\)"),
        (lambda image: 1 / 0, "^transform: it fails on an image of 640x500 .*ZeroDivisionError"),
        ({"input_size": (1, 8, 8)}, r"^model: Small cannot be run on images \(2, 1, 8, 8\)"),
    ],
)
def test_transforms_that_are_none(transform, words):
    refused(words, Small(), transform)


def test_what_is_built_has_to_be_the_same_network():
    module, size = Small(), {"input_size": (3, 8, 8)}
    from_module(module, size, build=Small)
    refused(
        r"^build: the network cannot be built again: it gives first.bias \(6,\).*\(4,\)",
        module, size, build=lambda: Small(width=6),
    )  # fmt: skip
    refused("^build: .*returns something else", module, size, build=lambda: Small(factor=2.0))
    refused("^build: .*cannot be built again .ValueError: no", module, size, build=_no_network)
    refused("^build: it returns a int", module, size, build=lambda: 3)


def _no_network():
    raise ValueError("no")


def test_outputs_that_are_none():
    size = {"input_size": (3, 8, 8)}
    with pytest.raises(UserError, match=r"^output: it fails on what the network returns .KeyError"):
        from_module(Small(), size, output=lambda returned: {}["map"])
    with pytest.raises(UserError, match=r"^output: for 2 images it is \(5,\)"):
        from_module(Small(), size, output=lambda returned: returned[0])
