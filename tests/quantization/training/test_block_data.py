"""The inputs and targets of a block are what the two models compute there."""

import pytest
import torch
from torch import nn

from vitquant.core.errors import UserError
from vitquant.quantization.layers.interception import is_intercepted
from vitquant.quantization.ptq.calibrate import calibrate_with_rescaling
from vitquant.quantization.training.block_data import capture, check_blocks_replayable
from vitquant.quantization.training.precision import choose_precision


class Block(nn.Module):
    """One head of attention on top of something that the model hands to each block."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(24, 72)
        self.proj = nn.Linear(24, 24)

    def forward(self, x, extra=0.0):
        q, k, v = self.qkv(x + extra).chunk(3, -1)
        return x + self.proj((q @ k.mT).softmax(-1) @ v)


class Tower(nn.Module):
    """``extra`` says what the second block is called with."""

    num_classes = 10

    def __init__(self, extra):
        super().__init__()
        self.embed = nn.Conv2d(3, 24, 8, 8)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(24, 10)
        self.extra = extra

    def forward(self, x):
        x = self.embed(x).flatten(2).mT
        x = self.blocks[0](x)
        return self.head(self.extra(self.blocks[1], x).mean(1))


def captured(context, name):
    plain = choose_precision(context.settings, context.device, context.progress)
    student = calibrate_with_rescaling(context)
    return student, capture(context, plain, student, name)


def exact(settings, **changes):
    return settings("w4a4", "block", precision="float32", compile=False, **changes)


@pytest.mark.parametrize("family", ["vit", "swin", "eva02"], indirect=True)
@torch.no_grad()
def test_they_are_what_the_models_compute(small, batch, settings, make_context):
    context = make_context(small, exact(settings))
    name = context.points.blocks[1]
    model, data = captured(context, name)
    seen = {}
    student, teacher = (m.get_submodule(name) for m in (model, context.float_model))
    student.register_forward_pre_hook(lambda m, args: seen.update(inputs=args[0]))
    student.register_forward_hook(lambda m, args, out: seen.update(output=out))
    teacher.register_forward_hook(lambda m, args, out: seen.update(target=out))
    model(batch)
    context.float_model(batch)
    half = {"rtol": 2e-3, "atol": 2e-3}
    torch.testing.assert_close(data.inputs.float(), seen["inputs"], **half)
    torch.testing.assert_close(data.targets.float(), seen["target"], **half)
    again = student(data.inputs.float(), *data.args, **data.kwargs)
    error = (again - seen["output"]).square().mean().sqrt()
    assert error < 0.05 * seen["output"].std()  # a value may round to the other level


@torch.no_grad()
def test_no_hook_and_no_gradient_is_left(make_small, settings, make_context):
    context = make_context(make_small("vit"), exact(settings))
    student, data = captured(context, "blocks.1")
    for model in (student, context.float_model):
        plain = [m for m in model.modules() if not is_intercepted(m)]
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in plain)
    assert data.inputs.dtype == data.targets.dtype == torch.float16
    assert not data.inputs.requires_grad


def test_what_all_images_share_is_kept_once(make_small, settings, make_context):
    context = make_context(make_small("eva02"), exact(settings))
    _, data = captured(context, "blocks.0")
    assert {n: x.shape[0] for n, x in data.kwargs.items() if isinstance(x, torch.Tensor)} == {
        "rope": 16
    }


@pytest.mark.parametrize(
    "extra",
    [
        lambda block, x: block(x, x[:, :1]),
        lambda block, x: block(x, extra=x.mean()),
        lambda block, x: block(x, torch.ones(len(x), 1, 1)),
        lambda block, x: block(x=x),
        lambda block, x: block(x.reshape(-1, 4, 24)).view(x.shape),
    ],
    ids=["by image", "of the batch", "by shape alone", "by keyword", "not by image"],
)
@pytest.mark.parametrize("batch_size", [2, 3])
def test_a_block_that_sees_more_of_the_images_is_refused(
    extra, batch_size, wrapped, settings, make_context
):
    torch.manual_seed(0)
    model = wrapped(Tower(extra).eval().requires_grad_(False))
    context = make_context(model, exact(settings, batch_size=batch_size))
    for look in (lambda: captured(context, "blocks.1"), lambda: check_blocks_replayable(context)):
        with pytest.raises(UserError, match=r"--method: block cannot train Block \(blocks.1\)"):
            look()


def test_the_blocks_of_every_family_can_be_called_again(small, settings, make_context):
    check_blocks_replayable(make_context(small, exact(settings)))


def test_positional_arguments_are_repeated(wrapped, settings, make_context):
    torch.manual_seed(0)
    model = wrapped(Tower(lambda block, x: block(x, 0.5)).eval().requires_grad_(False))
    _, data = captured(make_context(model, exact(settings)), "blocks.1")
    assert data.args == (0.5,)


def test_what_half_precision_cannot_hold_is_kept_whole(make_small, settings, make_context):
    model = make_small("vit")
    model.module.pos_embed[:, -1] = 1e5
    _, data = captured(make_context(model, exact(settings)), "blocks.0")
    assert data.inputs.dtype == data.targets.dtype == torch.float32
    assert data.inputs.isfinite().all()
