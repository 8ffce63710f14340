"""Whatever writes into a loaded model: it computes with what it was given."""

import copy

import pytest
import torch
from safetensors.torch import load_model, save_model
from timm.utils import ModelEmaV3
from torch.func import functional_call


@pytest.fixture(params=["vit", "swin", "beit"])
def pair(request, load):
    """A loaded model, and one of its kind with other integers, scales and biases."""
    model = load(request.param)
    other = copy.deepcopy(model)
    other.load_state_dict({n: changed(n, t) for n, t in other.state_dict().items()})
    return model, other


def changed(name, tensor):
    return tensor * 1.25 if name.endswith("scale") else tensor.flip(0).clone()


def load_strictly(model, other):
    assert not any(model.load_state_dict(other.state_dict()))


def load_assigned(model, other):
    model.load_state_dict(other.state_dict(), assign=True)


def load_in_parts(model, other):
    for name, tensor in other.state_dict().items():
        model.load_state_dict({name: tensor}, strict=False)


def load_safetensors(model, other, folder):
    save_model(other, str(folder / "m.safetensors"))
    load_model(model, str(folder / "m.safetensors"))


def copy_into(model, other):
    state = other.state_dict()
    for name, tensor in model.state_dict().items():
        tensor.copy_(state[name])


def copy_into_data(model, other):
    state = other.state_dict()
    for name, tensor in model.state_dict(keep_vars=True).items():
        tensor.data.copy_(state[name])


def set_attributes(model, other):
    for name, tensor in [*other.named_parameters(), *other.named_buffers()]:
        module, _, own = name.rpartition(".")
        setattr(model.get_submodule(module), own, tensor)


def average(model, other):
    ema = ModelEmaV3(model, decay=0.0)
    ema.update(other)
    model.load_state_dict(ema.module.state_dict())


WAYS = [
    load_strictly, load_assigned, load_in_parts, load_safetensors, copy_into, copy_into_data,
    set_attributes, average,
]  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("write", WAYS)
def test_it_computes_with_what_it_was_given(write, pair, x, tmp_path):
    model, other = pair
    assert not torch.equal(model(x), other(x))
    write(model, other, *[tmp_path][: write is load_safetensors])
    assert torch.equal(model(x), other(x))


def test_also_in_inference_mode(pair, x):
    model, other = pair
    with torch.inference_mode():
        copy_into(model, other)
        assert torch.equal(model(x), other(x))


@torch.no_grad()
def test_functional_call_computes_with_the_given_state_alone(pair, x):
    model, other = pair
    before = model(x)
    assert torch.equal(functional_call(model, other.state_dict(), (x,)), other(x))
    assert torch.equal(model(x), before)


def test_a_state_of_another_kind_is_refused(load):
    with pytest.raises(RuntimeError, match="Unexpected key"):
        load("vit").load_state_dict(load("swin").state_dict())


@torch.no_grad()
def test_it_is_filled_after_to_empty(load, x):
    model = load("vit")
    expected, state = model(x), copy.deepcopy(model.state_dict())
    model.to_empty(device="meta").to_empty(device="cpu").load_state_dict(state)
    assert torch.equal(model(x), expected)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_state_of_another_precision(dtype, pair, x):
    model, other = (copy.deepcopy(m).to(dtype) for m in pair)
    model.load_state_dict(pair[1].state_dict())
    assert model(x.to(dtype)).dtype == dtype
    assert torch.equal(model(x.to(dtype)), other(x.to(dtype)))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_the_levels_of_16_bits(dtype, quantized, x):
    module = quantized("vit_digits", "w8i16", "rtn").model.module
    # Reciprocals of these float16 cannot hold.
    module.blocks[0].mlp.fc2.input.scale.fill_(1e-6)
    error = module(x) - copy.deepcopy(module).to(dtype)(x.to(dtype)).float()
    assert error.abs().max() < 0.05 * module(x).abs().max()
