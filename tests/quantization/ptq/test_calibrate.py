"""Where training starts: searched scales and rescaling, nothing trained."""

import pytest
import torch

from vitquant.quantization.layers.base import FakeQuantLayer
from vitquant.quantization.ptq.calibrate import calibrate_with_rescaling


@torch.no_grad()
def test_only_scales_and_rescaling_differ_from_float(small, settings, make_context):
    context = make_context(small, settings("w4a4", "joint"))
    student = calibrate_with_rescaling(context)
    state = student.state_dict()
    assert all(torch.equal(state[name], t) for name, t in context.float_model.state_dict().items())
    layers = {n: m for n, m in student.named_modules() if isinstance(m, FakeQuantLayer)}
    assert set(layers) == {point.name for point in context.points.layers}
    assert all(layer.log_scale.isfinite().all() for layer in layers.values())
    moved = [layer.rescale.log.abs().max() > 0 for layer in layers.values() if layer.rescale]
    assert any(moved)


@torch.no_grad()
def test_rescaling_alone_leaves_the_output_as_it_was(
    small, batch, settings, make_context, rounds_nothing
):
    context = make_context(small, settings("w4a4", "joint"))
    wanted = context.float_model(batch)
    assert (
        calibrate_with_rescaling(context)(batch) - wanted
    ).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize(
    ("family", "pattern"),
    [
        ("vit", "blocks.0.mlp.fc1"),
        ("vit", "blocks.*.attn"),
        ("swin", "layers.0"),
        ("eva02_base", "blocks.*.attn.q_proj"),
        ("eva02_base", "blocks.1.attn.products"),
    ],
    indirect=["family"],
)
@torch.no_grad()
def test_what_stays_float_takes_no_rescaling(
    pattern, small, batch, settings, make_context, rounds_nothing
):
    context = make_context(small, settings("w4a4", "joint", keep_float=pattern))
    assert context.points.kept
    wanted, student = context.float_model(batch), calibrate_with_rescaling(context)
    for name in context.points.kept:
        assert not isinstance(student.get_submodule(name.removesuffix(".products")), FakeQuantLayer)
    assert (student(batch) - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("family", ["vit", "swinv2"], indirect=True)
def test_eight_bits_start_close_to_float(small, batch, settings, make_context):
    context = make_context(small, settings("w8a8", "joint", init_images=4))
    with torch.no_grad():
        noise = calibrate_with_rescaling(context)(batch) - context.float_model(batch)
        assert noise.square().mean().sqrt() < 0.03 * context.float_model(batch).std()
