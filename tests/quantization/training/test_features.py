"""The float model is asked once for each view that comes again."""

import torch

from vitquant.quantization.training.features import CachedTeacher, Outputs


class Counting:
    """A model whose feature and logits are its images; counts its runs."""

    def __init__(self):
        self.runs = 0

    def __call__(self, images):
        self.runs += 1
        return Outputs([images * 2], images.flatten(1))


def images(*values):
    return torch.tensor(values).view(-1, 1, 1, 1)


def test_views_that_do_not_come_again_are_not_kept():
    model = Counting()
    teacher = CachedTeacher(model, caches=False)
    for _ in range(2):
        assert torch.equal(teacher(images(0.1), [(0, 0)]).logits, images(0.1).flatten(1))
    assert model.runs == 2


def test_a_known_view_is_read_back_in_any_company():
    model = Counting()
    teacher = CachedTeacher(model, caches=True)
    first = teacher(images(1.0, 2.0, 3.0), [(0, 0), (1, 0), (2, 0)])
    again = teacher(images(3.0, 1.0), [(2, 0), (0, 0)])
    assert model.runs == 1
    assert torch.equal(again.features[0], first.features[0][[2, 0]])
    assert torch.equal(again.logits, first.logits[[2, 0]])


def test_the_first_answer_is_the_one_that_is_read_back():
    teacher = CachedTeacher(Counting(), caches=True)
    value = images(1.0009765625)  # not a bfloat16
    first, second = (teacher(value, [(0, 0)]) for _ in range(2))
    assert torch.equal(first.logits, second.logits)
    assert first.logits.dtype == torch.float32


def test_another_view_of_a_known_image_is_new():
    model = Counting()
    teacher = CachedTeacher(model, caches=True)
    teacher(images(1.0), [(0, 0)])
    assert teacher(images(5.0), [(0, 1)]).logits.item() == 5.0
    assert model.runs == 2
