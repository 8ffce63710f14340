"""Rows at the front of an activation have their own, all others the same."""

import pytest
import torch

from vitquant.layers.rows import count, spread


@pytest.mark.parametrize(("shape", "rows"), [((4,), None), ((3, 4), None), ((3, 7, 4), 7)])
def test_an_image_may_have_but_one_row(shape, rows):
    assert count(torch.zeros(shape)) == rows


def test_the_last_is_that_of_all_behind():
    table = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert spread(table, 4).tolist() == [[1, 2], [3, 4], [5, 6], [5, 6]]
    assert spread(table, 2).tolist() == [[1, 2], [3, 4]]
    assert spread(table, None).tolist() == [5, 6]
    assert spread(table[:1], 4).tolist() == [1, 2]
