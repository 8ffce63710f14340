"""Adam's groups, its rates over the steps, and what is said when training fails."""

import pytest
import torch
from torch import nn

from vitquant.core.errors import CheckFailedError, UserError
from vitquant.quantization.ptq.calibrate import calibrate_with_rescaling
from vitquant.quantization.training.optimizer import (
    build_optimizer,
    check_finite,
    learning_rate_schedule,
    parameter_groups,
)

RATES = {
    "lr_weights": {"weight", "bias"},
    "lr_scales": {"log_scale"},
    "lr_zero_points": {"zero_point"},
    "lr_rescaling": {"log"},
    "lr_shifts": {"channel_shift"},
}
ALL = (*RATES, "lr_head", "lr_norms")


def test_each_parameter_is_in_one_group_with_its_rate(make_small, settings, make_context):
    rates = {"lr_weights": 1.0, "lr_scales": 2.0, "lr_zero_points": 3.0, "lr_rescaling": 4.0}
    rates |= {"lr_norms": 5.0, "lr_shifts": 6.0, "lr_head": 7.0}
    context = make_context(make_small("swin"), settings("w4a4", "joint", **rates))
    student = calibrate_with_rescaling(context)
    groups = {
        g["lr"]: {id(p) for p in g["params"]}
        for g in parameter_groups(student, context.settings, context.model.classifier_names)
    }
    assert set(groups) == {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0}
    assert sum(map(len, groups.values())) == len(set().union(*groups.values()))
    for name, parameter in student.named_parameters():
        found = [rate for rate, members in groups.items() if id(parameter) in members]
        wanted = [rates[r] for r, leaves in RATES.items() if name.rpartition(".")[2] in leaves]
        if name.startswith("head."):
            wanted = [7.0] if wanted == [1.0] else wanted
        assert found in ([], wanted, [5.0])
        assert parameter.requires_grad == bool(found)


def test_both_classifiers_of_a_distilled_model_have_the_rate_of_the_head(
    make_small, settings, make_context
):
    context = make_context(make_small("distilled"), settings("w4a4", "joint", lr_head=7.0))
    student = calibrate_with_rescaling(context)
    group = next(
        g
        for g in parameter_groups(student, context.settings, context.model.classifier_names)
        if g["lr"] == 7.0
    )
    wanted = {f"{head}.{leaf}" for head in ("head", "head_dist") for leaf in ("weight", "bias")}
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    assert {names[id(parameter)] for parameter in group["params"]} == wanted


def test_a_classifier_of_few_bits_by_its_name_is_trained(make_small, settings, make_context):
    for bits, trained in (("w2a8", True), ("w8a8", False)):
        chosen = settings("w4a4", "joint", layer_bits=f"head={bits}")
        context = make_context(make_small("vit"), chosen)
        student = calibrate_with_rescaling(context)
        list(parameter_groups(student, chosen, context.model.classifier_names))
        assert student.head.weight.requires_grad == trained


def test_what_is_kept_float_learns_nothing(make_small, settings, make_context):
    chosen = settings("w4a4", "joint", keep_float="blocks.0,head")
    context = make_context(make_small("vit"), chosen)
    student = calibrate_with_rescaling(context)
    groups = list(parameter_groups(student, chosen, context.model.classifier_names))
    learns = {id(parameter) for group in groups for parameter in group["params"]}
    for name, parameter in student.named_parameters():
        if name.startswith(("blocks.0.", "head.")):
            assert id(parameter) not in learns, name
            assert not parameter.requires_grad
    block = student.blocks[0]
    assert not list(parameter_groups(block, chosen, part="blocks.0"))
    assert list(parameter_groups(student.blocks[1], chosen, part="blocks.1"))


@pytest.mark.parametrize(
    ("hold", "rates"),
    [
        (0.0, [2.0, 1.7071, 1.0, 0.2929]),
        (0.5, [2.0, 2.0, 2.0, 1.0]),
        (1.0, [2.0, 2.0, 2.0, 2.0]),
    ],
)
def test_rates_are_held_and_then_fall_on_a_cosine(hold, rates, settings):
    chosen = settings("w4a4", "joint", steps=4, hold=hold)
    for done in range(4):
        group = {"params": nn.Linear(1, 1).parameters(), "lr": 2.0, "initial_lr": 2.0}
        optimizer = torch.optim.Adam([group])
        schedule = learning_rate_schedule(optimizer, chosen, done)
        seen = []
        for _ in range(done, 4):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        assert seen == pytest.approx(rates[done:], rel=1e-4)


def test_training_nothing_is_refused(make_small, settings, make_context):
    context = make_context(make_small("vit"), settings("w4a4", "joint", **dict.fromkeys(ALL, 0.0)))
    with pytest.raises(UserError, match="--lr-weights"):
        build_optimizer(calibrate_with_rescaling(context), context.settings)


def test_a_parameter_that_is_no_number_is_reported_by_its_block(settings):
    layer = nn.Linear(2, 2)
    check_finite(layer, "a parameter of blocks.0", settings("w4a4", "joint"))
    with torch.no_grad():
        layer.weight[0, 1] = float("nan")
    with pytest.raises(CheckFailedError, match=r"a parameter of blocks\.0 is infinite"):
        check_finite(layer, "a parameter of blocks.0", settings("w4a4", "joint"))
