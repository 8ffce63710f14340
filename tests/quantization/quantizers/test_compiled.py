"""The compiled form of the quantizers against the plain one."""

from functools import partial

import pytest
import torch
from torch import nn
from torch._dynamo import config as dynamo
from torch.overrides import TorchFunctionMode

from vitquant.quantization.layers.linear import FakeQuantLinear
from vitquant.quantization.quantizers import affine, per_channel
from vitquant.quantization.quantizers import compiled as kernels
from vitquant.quantization.quantizers.affine import QParams
from vitquant.quantization.quantizers.grid import (
    PrefixGrids,
    activation_grid,
    signed_grid,
    weight_grid,
)

LAYOUTS = {
    "matrix": lambda x: x.reshape(-1, 6),
    "tokens": lambda x: x,
    "heads": lambda x: x.reshape(4, 5, 3, 2, 6),
    "transposed": lambda x: x.reshape(6, -1).mT,
    "permuted": lambda x: x.reshape(4, 5, 6, 6).permute(0, 2, 1, 3),
    "strided": lambda x: torch.stack((x, x), -1).flatten(-2)[..., ::2],
    "expanded": lambda x: x[:1].expand(4, -1, -1),
}
TWO_GRIDS = PrefixGrids(signed_grid(6), activation_grid(3), 2)
TYPES = {
    "float32": (torch.float32, torch.float32),
    "float32 to bfloat16": (torch.float32, torch.bfloat16),
    "bfloat16": (torch.bfloat16, torch.bfloat16),
}


@pytest.fixture(autouse=True)
def compiler():
    """Skips where nothing can be compiled. Each test starts with nothing compiled."""
    if reason := kernels.unavailable_reason("cpu"):
        pytest.skip(f"nothing can be compiled here: {reason}")
    torch._dynamo.reset()


@pytest.fixture
def both():
    """both(function) → its results (plain, compiled); it takes which of the two is wanted."""
    return lambda function: (function(False), function(True))


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def quantizer(multiplier):
    factors = torch.linspace(0.5, 1.7, 6) if multiplier else None
    return QParams(activation_grid(4), torch.tensor(0.23), torch.tensor(6.0), factors)


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("multiplier", [False, True])
def test_activations_have_the_same_values(types, layout, multiplier, both):
    source, target = TYPES[types]
    x, q = LAYOUTS[layout](numbers(4, 30, 6).to(source)), quantizer(multiplier)
    plain, compiled = both(lambda c: affine.fake_quantize_forward(x, q, target, use_compiled=c))
    assert compiled.dtype == plain.dtype == target
    assert torch.equal(compiled, plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("multiplier", [False, True])
def test_activations_have_the_same_gradients(dtype, layout, multiplier, both):
    x, q = LAYOUTS[layout](numbers(4, 30, 6).to(dtype)), quantizer(multiplier)
    grad = LAYOUTS[layout](numbers(4, 30, 6, seed=1).to(dtype))
    plain, compiled = both(lambda c: affine.fake_quantize_backward(grad, x, q, use_compiled=c))
    assert compiled.x.dtype == plain.x.dtype == dtype
    assert (compiled.multiplier is None) == (plain.multiplier is None) == (not multiplier)
    near = {"rtol": 1e-4, "atol": 1e-4}
    if dtype is torch.bfloat16:
        near = {"rtol": 2e-2, "atol": 0.3}  # the plain form rounds its sums, over 720 elements
    for ours, theirs in zip(compiled, plain, strict=True):
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, check_dtype=False, **near)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_heads_have_the_same_values_and_gradients(dtype, both):
    x, grad = (numbers(4, 3, 5, 6, seed=seed).to(dtype) for seed in (0, 1))
    scale = torch.tensor([0.1, 0.2, 0.5]).view(3, 1, 1)
    q = QParams(activation_grid(4), scale, torch.tensor(6.0))
    for each in (x, x.mT.contiguous().mT):
        plain, compiled = both(
            lambda c, each=each: affine.fake_quantize_forward(each, q, use_compiled=c)
        )
        assert torch.equal(compiled, plain)
        plain, compiled = both(
            lambda c, each=each: affine.fake_quantize_backward(grad, each, q, use_compiled=c)
        )
        assert compiled.scale.shape == plain.scale.shape == scale.shape
        near = {"rtol": 1e-4, "atol": 1e-4}
        if dtype is torch.bfloat16:
            near = {"rtol": 2e-2, "atol": 0.3}  # the plain form rounds its sums
        for ours, theirs in zip(compiled[:3], plain[:3], strict=True):
            torch.testing.assert_close(ours, theirs, check_dtype=False, **near)


@pytest.mark.parametrize("heads", [(), (3,)])
@pytest.mark.parametrize("multiplier", [False, True])
@pytest.mark.parametrize("grid", [activation_grid(4), TWO_GRIDS])
def test_rows_have_the_same_values_and_gradients(grid, heads, multiplier, both):
    x, grad = (numbers(4, *heads, 5, 6, seed=seed) for seed in (0, 1))
    scale = torch.linspace(0.1, 0.5, 5).view(5, 1).expand(*heads, 5, 1).contiguous()
    q = quantizer(multiplier)._replace(grid=grid, scale=scale)
    plain, compiled = both(lambda c: affine.fake_quantize_forward(x, q, use_compiled=c))
    assert torch.equal(compiled, plain)
    plain, compiled = both(lambda c: affine.fake_quantize_backward(grad, x, q, use_compiled=c))
    assert (compiled.multiplier is None) == (not multiplier)
    assert compiled.scale.shape == scale.shape
    for ours, theirs in zip(compiled, plain, strict=True):
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_row_is_quantized_as_if_it_were_alone(both):
    x, grad = (numbers(4, 5, 6, seed=seed) for seed in (0, 1))
    scale = torch.linspace(0.1, 0.5, 5).view(5, 1)
    q = quantizer(True)._replace(scale=scale)
    for value in both(lambda c: affine.fake_quantize_forward(x, q, use_compiled=c)):
        for i in range(5):
            alone = affine.fake_quantize_forward(x[:, i], q._replace(scale=scale[i, 0]))
            assert torch.equal(value[:, i], alone)
    for found in both(lambda c: affine.fake_quantize_backward(grad, x, q, use_compiled=c)):
        parts = [
            affine.fake_quantize_backward(grad[:, i], x[:, i], q._replace(scale=scale[i, 0]))
            for i in range(5)
        ]
        torch.testing.assert_close(found.x, torch.stack([p.x for p in parts], 1))
        torch.testing.assert_close(found.scale.flatten(), torch.stack([p.scale for p in parts]))
        torch.testing.assert_close(found.zero_point, sum(p.zero_point for p in parts))
        torch.testing.assert_close(found.multiplier, sum(p.multiplier for p in parts))


@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 2, 2)])
@pytest.mark.parametrize("bits", [1.58, 4, 8])
@pytest.mark.parametrize("contiguous", [True, False])
def test_weights_have_the_same_values_and_gradients(shape, bits, contiguous, both):
    grid = weight_grid(bits)
    weight = numbers(*shape)
    if not contiguous:
        weight = weight.mT.contiguous().mT
    weight.requires_grad_()
    scale = torch.linspace(0.8, 1.2, len(weight)).div_(grid.qmax).requires_grad_()

    def run(use_compiled):
        value = per_channel.fake_quantize(weight, scale, grid, use_compiled=use_compiled)
        grads = torch.autograd.grad((value * numbers(*value.shape, seed=1)).sum(), (weight, scale))
        return value.detach(), *grads

    for theirs, ours in zip(*both(run), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("multiplier", [False, True])
def test_nothing_is_compiled_again_for_what_makes_no_difference(multiplier):
    """Behind a number of forms that is soon reached, nothing is compiled any more."""

    class Watching(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    q = quantizer(multiplier)
    run = partial(affine.fake_quantize_forward, use_compiled=True)
    run(numbers(4, 30, 6), q)
    with dynamo.patch(error_on_recompile=True):
        for layout in LAYOUTS.values():
            run(layout(numbers(4, 30, 6)), q)
        run(numbers(4, 30, 6).requires_grad_(), q)
        scale = q.scale.clone().requires_grad_()
        run(numbers(4, 30, 6), q._replace(scale=scale))
        with Watching(), torch.autocast("cpu", torch.bfloat16):
            run(numbers(4, 30, 6), q)


def layer():
    made = FakeQuantLinear(nn.Linear(6, 5), weight_grid(4), activation_grid(4))
    made.calibrate(numbers(40, 6))
    return made


def test_the_plain_form_is_back_afterwards():
    model, other = nn.Sequential(layer(), nn.Identity()), layer()
    with kernels.use_compiled(model, True):
        assert model[0].compiled
        assert not other.compiled
        with kernels.use_compiled(model, False):
            assert not model[0].compiled
        assert model[0].compiled
    with pytest.raises(ValueError, match="stop"), kernels.use_compiled(model, True):
        raise ValueError("stop")
    assert not model[0].compiled


@pytest.mark.parametrize("wanted", [False, True])
def test_a_backward_pass_computes_the_form_of_its_forward_pass(wanted, monkeypatch):
    used = []
    for name in ("per_tensor_gradients", "per_channel_gradients"):
        function = getattr(kernels, name)
        monkeypatch.setattr(
            kernels, name, lambda *args, f=function, n=name: used.append(n) or f(*args)
        )
    model = layer()
    with kernels.use_compiled(model, wanted):
        loss = model(numbers(4, 6)).square().sum()
    with kernels.use_compiled(model, not wanted):
        loss.backward()
    assert used == (["per_tensor_gradients", "per_channel_gradients"] if wanted else [])
