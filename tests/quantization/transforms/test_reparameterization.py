"""Channels made alike: the model computes what it did, whatever its channels are like."""

import copy

import pytest
import torch

from vitquant.quantization.ptq.bit_assignment import layer_bits
from vitquant.quantization.ptq.calibrate import calibrate
from vitquant.quantization.ptq.convert import convert
from vitquant.quantization.ptq.prepare import prepare
from vitquant.quantization.transforms.reparameterization import (
    add_factors,
    reparameterizations,
    with_offsets,
)


def found_in(context):
    folds = [fold for fold in context.folds if fold.norm]
    return list(reparameterizations(context.float_model, folds, context.samples))


def deviation(x, reference):
    return float((x - reference).abs().max() / reference.abs().max())


@torch.no_grad()
@pytest.mark.parametrize("awkward", [False, True])
def test_offsets_leave_the_output_as_it_was(awkward, small, batch, settings, make_job, spoil):
    context = make_job(spoil(small) if awkward else small, settings())
    state = copy.deepcopy(context.float_model.state_dict())
    found = found_in(context)
    assert any(each.offset is not None for each in found)
    shifted = with_offsets(context.float_model, found)
    assert deviation(shifted(batch), context.float_model(batch)) < 1e-4
    for each in found:
        moved = state[f"{each.fold.source}.bias"], shifted.get_submodule(each.fold.source).bias
        assert torch.equal(*moved) == (each.offset is None)
    assert all(torch.equal(state[name], t) for name, t in context.float_model.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("awkward", [False, True])
def test_offsets_and_factors_leave_the_output_as_it_was(
    awkward, small, batch, settings, make_job, spoil, rounds_nothing
):
    context = make_job(spoil(small) if awkward else small, settings())
    found = found_in(context)
    assignment = context.settings.assignment
    bits = layer_bits(assignment, context.model.classifier_names, context.points)
    student = prepare(
        with_offsets(context.float_model, found), context.points, bits, assignment.bits
    )
    add_factors(student, found)
    assert deviation(student(batch), context.float_model(batch)) < 1e-4


@torch.no_grad()
def test_every_channel_gets_the_same_range(small, settings, make_job):
    context = make_job(small, settings())
    for each in found_in(context):
        rows = context.samples.layers[each.fold.consumers[0]].rows
        offset = 0 if each.offset is None else each.offset
        # Too few rows, and a channel may hardly have a range to speak of.
        alike = (each.factor > 1 / 32) & (each.factor < 32)
        rows = ((rows + offset) / each.factor)[:, alike]
        low, high = rows.quantile(torch.tensor([1e-3, 1 - 1e-3]), dim=0)
        near = {"rtol": 1e-3, "atol": 1e-4}
        if each.offset is None:
            low, high = low.clamp_max(0), high.clamp_min(0)
        else:
            torch.testing.assert_close(low, low.mean().expand_as(low), **near)
            assert low.mean() <= 0 <= high.mean()
        torch.testing.assert_close(high - low, (high - low).mean().expand_as(low), **near)


@torch.no_grad()
@pytest.mark.parametrize("family", ["vit", "swin", "eva02_base"], indirect=True)
def test_awkward_channels_stay_in_bounds(small, settings, make_job, spoil):
    context = make_job(spoil(small), settings())
    for each in found_in(context):
        rows = context.samples.layers[each.fold.consumers[0]].rows
        assert each.factor.min() >= 1 / 32
        assert each.factor.max() <= 32
        if each.offset is not None:
            rows = (rows + each.offset) / each.factor
            spread = (rows.amax(0) - rows.amin(0)).median()
            # Constant channels lie among the others, where they cost no range.
            constant = rows[:, :6]
            assert constant.abs().max() <= 2 * spread


@torch.no_grad()
def test_without_a_bias_behind_there_is_no_offset(make_small, settings, make_job):
    found = found_in(make_job(make_small("swin"), settings()))
    assert [each.fold.source for each in found if each.offset is None] == [
        "layers.1.downsample.norm"
    ]


@torch.no_grad()
def test_both_end_in_what_is_stored(make_small, settings, make_job):
    model = make_small("vit")
    context = make_job(model, settings("w8a8"))
    found = found_in(context)
    assignment = context.settings.assignment
    bits = layer_bits(assignment, context.model.classifier_names, context.points)
    shifted = with_offsets(context.float_model, found)
    student = prepare(shifted, context.points, bits, assignment.bits)
    add_factors(student, found)
    calibrate(student, context.sample(shifted))
    convert(student, context.float_model)
    for each in found:
        norm, before = (m.get_submodule(each.fold.source) for m in (student, context.float_model))
        near = {"rtol": 2e-3, "atol": 2e-3}  # float16
        torch.testing.assert_close(norm.weight, before.weight / each.factor, **near)
        torch.testing.assert_close(norm.bias, (before.bias + each.offset) / each.factor, **near)
        for name in each.fold.consumers:
            layer, original = (m.get_submodule(name) for m in (student, context.float_model))
            wanted = original.weight * each.factor
            assert (layer.weight - wanted).norm() < 0.02 * wanted.norm()
            bias = original.bias - original.weight @ each.offset
            torch.testing.assert_close(layer.bias, bias, **near)
