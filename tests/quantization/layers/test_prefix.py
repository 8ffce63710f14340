"""Rows at the front of an activation have their own, all others the same."""

import pytest
import torch

from vitquant.quantization.layers.prefix import expand_to_tokens, num_tokens, prefix_correction


@pytest.mark.parametrize(("shape", "rows"), [((4,), None), ((3, 4), None), ((3, 7, 4), 7)])
def test_an_image_may_have_but_one_row(shape, rows):
    assert num_tokens(torch.zeros(shape)) == rows


def test_the_last_is_that_of_all_behind():
    table = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert expand_to_tokens(table, 4).tolist() == [[1, 2], [3, 4], [5, 6], [5, 6]]
    assert expand_to_tokens(table, 2).tolist() == [[1, 2], [3, 4]]
    assert expand_to_tokens(table, None).tolist() == [5, 6]
    assert expand_to_tokens(table[:1], 4).tolist() == [1, 2]


@pytest.mark.parametrize("bias", [None, torch.tensor([0.5, -2.0])])
def test_rows_of_another_scale_come_out_of_a_product_that_knows_one(bias):
    codes, weight = torch.tensor([[3.0, -1.0, 2.0]]), torch.tensor([[1.0, 2, 0], [0, -1, 4]])
    scale, own, own_bias = torch.tensor(0.5), torch.tensor([[0.125]]), torch.tensor([[1.0, 3.0]])
    units, added = prefix_correction(own, scale, own_bias, bias)
    added_by_all = 0 if bias is None else bias
    out = (scale * codes @ weight.mT + added_by_all) * units + added
    torch.testing.assert_close(out, own * codes @ weight.mT + own_bias + added_by_all)
