"""Models without classes: beside a reference, and by neighbors in a gallery."""

import math

import pytest
import torch
from PIL import Image
from torch import nn

from vitquant.core.errors import UserError
from vitquant.data.image_source import ListSource
from vitquant.evaluation.outputs import evaluate_outputs


class Angles(nn.Module):
    """A unit vector for each picture, turned by its red in degrees; ``shape`` is what it is in."""

    num_classes = 0

    def __init__(self, turn=0.0, shape="vector", broken=()):
        super().__init__()
        self.turn, self.shape, self.broken = turn, shape, broken

    def forward(self, images):
        red = ((images[:, 0, 0, 0] * 0.5 + 0.5) * 255).round()
        angle = torch.deg2rad(red + self.turn)
        vectors = torch.stack([angle.cos(), angle.sin()], 1)
        for value in self.broken:
            vectors[red == value] = torch.nan
        if self.shape == "tokens":
            # Two tokens whose mean is the vector.
            away = torch.tensor([5.0, -5.0])
            return torch.stack([vectors + away, vectors - away], 1)
        return vectors if self.shape == "vector" else vectors[:, :, None, None].expand(-1, 2, 3, 3)


def pictures(reds, labels=None):
    return ListSource("turns", [Image.new("RGB", (32, 32), (r, 0, 0)) for r in reds], labels)


GALLERY = pictures([0, 10, 20, 30, 100, 110], [0, 0, 1, 1, 2, -1])


@pytest.mark.parametrize("shape", ["vector", "tokens", "map"])
def test_beside_a_reference_without_labels(shape, wrapped):
    found = evaluate_outputs(
        wrapped(Angles(60, shape)), pictures([0, 40, 80]), 2, wrapped(Angles(shape=shape))
    )
    assert found.images == 3
    assert found.images_per_second > 0
    assert found.neighbors is found.reference_neighbors is found.gallery_images is None
    if shape != "tokens":
        assert found.error.cosine == pytest.approx(0.5, abs=1e-5)


def test_preprocessing_of_its_own(wrapped):
    reference = wrapped(Angles())
    reference.preprocessing["crop_pct"] = 0.9
    assert evaluate_outputs(wrapped(Angles()), pictures([0, 40]), 2, reference).error.cosine == 1


@pytest.mark.parametrize("shape", ["vector", "tokens"])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_neighbors_in_a_gallery(shape, batch_size, wrapped):
    # Nearest are 0, 20 and 100; the label of the second is that of its third neighbor.
    images = pictures([1, 21, 98, 5], [0, 0, 2, -1])
    model = wrapped(Angles(shape=shape))
    found = evaluate_outputs(model, images, batch_size, None, GALLERY)
    assert found.images == 3
    assert found.neighbors.top1 == pytest.approx(2 / 3)
    assert found.neighbors.recall_at_k == {1: pytest.approx(2 / 3), 5: 1.0, 10: 1.0}
    assert found.gallery_images == 6
    assert found.error is found.reference_neighbors is None


def test_each_model_has_its_own_gallery(wrapped):
    # Turning both the images and the gallery changes nothing.
    images = pictures([1, 21, 98], [0, 1, 2])
    found = evaluate_outputs(wrapped(Angles(90)), images, 2, wrapped(Angles()), GALLERY)
    assert found.neighbors == found.reference_neighbors
    assert found.neighbors.top1 == 1
    assert found.error.cosine == pytest.approx(0, abs=1e-6)


def test_embeddings_that_are_not_finite_are_nobodys_neighbors(wrapped):
    images = pictures([1, 21, 98], [0, 1, 2])
    found = evaluate_outputs(wrapped(Angles(broken=[21])), images, 2, None, GALLERY)
    assert found.neighbors.top1 == pytest.approx(2 / 3)
    assert found.not_finite == 1
    found = evaluate_outputs(wrapped(Angles(broken=[0, 10])), images, 2, None, GALLERY)
    assert found.neighbors.top1 == pytest.approx(2 / 3)
    everything = wrapped(Angles(broken=range(256)))
    found = evaluate_outputs(everything, images, 2, everything, GALLERY)
    assert (found.neighbors.top1, found.not_finite) == (0, 3)
    assert found.neighbors.recall_at_k[10] == 0
    assert found.error.relative_error == math.inf


def test_what_cannot_be_compared(wrapped):
    images = pictures([1], [0])
    with pytest.raises(UserError, match=r"--reference: .* shape \(2, 2\), the model's \(2,\)"):
        evaluate_outputs(wrapped(Angles()), images, 2, wrapped(Angles(shape="tokens")))
    with pytest.raises(UserError, match=r"--gallery: .* shape \(2, 3, 3\); a vector"):
        evaluate_outputs(wrapped(Angles(shape="map")), images, 2, None, GALLERY)
    with pytest.raises(UserError, match="--gallery: no image of turns has a label"):
        evaluate_outputs(wrapped(Angles()), images, 2, None, pictures([1], [-1]))
    with pytest.raises(UserError, match="--data: no image of turns has a label"):
        evaluate_outputs(wrapped(Angles()), pictures([1], [-1]), 2, None, GALLERY)
