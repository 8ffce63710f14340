"""What enters the quantizers is heard, and nothing is changed by listening."""

import pytest
import torch

from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.interception import intercepted
from vitquant.quantization.quantizers.affine import fake_quantize_forward
from vitquant.reports.measurements.tensors.exact import exact
from vitquant.reports.measurements.tensors.taps import INPUT, tapped


def heard(subject, batch):
    """The output, and what was heard, by name and tensor."""
    entered = []
    with torch.inference_mode(), tapped(subject.model.module, entered.append):
        output = subject.model(batch)
    return output, {(e.name, e.tensor): e for e in entered}


def quantizers(module) -> int:
    layers = [m for m in module.modules() if isinstance(m, IntLayer) and m.input is not None]
    return len(layers) + sum(2 * len(matmuls) for _, _, matmuls in intercepted(module))


def test_every_quantizer_is_heard_and_outputs_stay(small, subject_of, batch):
    subject = subject_of(small, bits="w4a4")
    with torch.inference_mode():
        expected = subject.model(batch)
    output, found = heard(subject, batch)
    assert torch.equal(output, expected)
    assert len(found) == quantizers(subject.model.module)
    with torch.inference_mode():
        assert torch.equal(subject.model(batch), expected)  # and nobody listens any more


@pytest.mark.parametrize("changes", [{}, {"prefix_scales": True, "prefix_bits": 8}])
def test_a_layer_makes_of_what_was_heard_what_it_puts_out(make_small, subject_of, batch, changes):
    # Rescaling and shifts are stored in the second layer of an MLP, shifts of class tokens in all.
    subject = subject_of(make_small("vit"), bits="w4a4", method="joint", **changes)
    outputs = {}
    layers = dict(subject.model.module.named_modules())
    names = ("patch_embed.proj", "blocks.0.mlp.fc2", "blocks.1.attn.qkv")
    for name in names:
        layers[name].register_forward_hook(lambda m, a, out, n=name: outputs.update({n: out}))
    _, found = heard(subject, batch)
    for name in names:
        entered, layer = found[name, INPUT], layers[name]
        rounded = fake_quantize_forward(entered.x, entered.q)
        difference = outputs[name] - entered.compute(rounded)
        # What is left is a bias, the same for all images.
        torch.testing.assert_close(difference, difference[:1].expand_as(difference))
        assert not torch.equal(rounded, entered.x)
        assert entered.compute(rounded).shape == outputs[name].shape, layer


def test_an_exact_tensor_is_not_rounded(make_small, subject_of, batch):
    subject = subject_of(make_small("vit"), bits="w4a4")
    _, before = heard(subject, batch)
    for key in (("blocks.0.mlp.fc1", INPUT), ("blocks.1.attn.products.1", "left operand")):
        largest = float(before[key].x.abs().max())
        with exact(subject.model.module, *key, largest):
            _, found = heard(subject, batch)
        left = found[key]
        torch.testing.assert_close(fake_quantize_forward(left.x, left.q), left.x, atol=1e-5, rtol=0)
        _, after = heard(subject, batch)
        assert torch.equal(after[key].q.scale, before[key].q.scale)
