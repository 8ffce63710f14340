"""Closed-form correction: layer after layer, folded into what a checkpoint stores anyway."""

import pytest
import torch

from vitquant.quantization.layers.linear import FakeQuantLinear
from vitquant.quantization.methods.repq import repq
from vitquant.quantization.methods.rtn import rtn
from vitquant.quantization.ptq.calibrate import calibrate_with_rescaling
from vitquant.quantization.ptq.correct import correct
from vitquant.workflows.ptq import quantize


@torch.no_grad()
def error(model, context, batch) -> float:
    wanted = context.float_model(batch)
    return float((model(batch) - wanted).square().mean())


@torch.no_grad()
def test_a_corrected_model_is_nearer_to_float(small, batch, settings, make_job):
    context = make_job(small, settings("w3a8", "dfq", init_images=4))
    student = rtn(context)
    before = error(student, context, batch)
    correct(context, student)
    assert error(student, context, batch) < 0.5 * before


@pytest.mark.parametrize("family", ["vit", "swinv2"], indirect=True)
@pytest.mark.parametrize("begin", [repq, calibrate_with_rescaling])
def test_so_is_one_with_rescaling(begin, small, batch, settings, make_job):
    context = make_job(small, settings("w3a8", "dfq", init_images=4))
    student = begin(context)
    before = error(student, context, batch)
    correct(context, student)
    assert error(student, context, batch) < 0.5 * before


@torch.no_grad()
def test_mean_outputs_are_those_of_float(make_small, settings, make_job):
    context = make_job(make_small("swin"), settings("w3a4", "dfq"))
    student = rtn(context)
    correct(context, student)
    found = {}
    for which, model in (("float", context.float_model), ("corrected", student)):
        for name in ("layers.0.blocks.0.attn.qkv", "layers.1.blocks.1.mlp.fc2", "head.fc"):

            def see(module, args, out, key=(which, name)):
                found[key] = out.flatten(0, -2).mean(0)

            model.get_submodule(name).register_forward_hook(see)
        model(context.first_images)
    for which, name in found:
        mean = found["float", name]
        assert torch.allclose(found[which, name], mean, atol=1e-3 * float(mean.abs().max()))


@torch.no_grad()
def test_biases_can_be_left_alone(make_small, batch, settings, make_job):
    context = make_job(
        make_small("vit"), settings("w3a8", "dfq", correct_bias=False, init_images=4)
    )
    student = rtn(context)
    before = error(student, context, batch)
    correct(context, student)
    assert error(student, context, batch) < before
    for name, layer in context.float_model.named_modules():
        if isinstance(layer, torch.nn.Linear):
            assert torch.equal(student.get_submodule(name).bias, layer.bias)


@torch.no_grad()
def test_rounding_again_changes_nothing(make_small, settings, make_job):
    context = make_job(make_small("vit"), settings("w4a4", "dfq"))
    student = calibrate_with_rescaling(context)
    correct(context, student)
    layers = [m for m in student.modules() if isinstance(m, FakeQuantLinear)]
    for layer in layers:
        weight = layer.rescaled_weight()
        assert torch.allclose(layer.quantized_weight(), weight, rtol=1e-4, atol=1e-7)


def test_it_says_what_it_leaves_alone(make_small, settings, make_job, monkeypatch):
    context = make_job(make_small("vit"), settings("w4a4", "dfq"))
    said = []
    monkeypatch.setattr(type(context.progress), "say", lambda self, text: said.append(text))
    correct(context, rtn(context))
    assert said == ["9 layers corrected, 1 convolutions not"]


def test_the_checkpoint_holds_nothing_more(make_small, images, settings, tmp_path):
    sizes = {}
    for method in ("rtn", "dfq"):
        quantized = quantize(make_small("vit"), images, settings("w4a4", method))
        sizes[method] = {n: t.shape for n, t in quantized.module.state_dict().items()}
    assert sizes["rtn"] == sizes["dfq"]


def test_joint_goes_on_from_there(make_small, images, settings):
    for method in ("joint", "block"):
        quantized = quantize(make_small("vit"), images, settings("w4a4", method, start="dfq"))
        assert quantized.history
