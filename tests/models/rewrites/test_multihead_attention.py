"""Layers in place of ``nn.MultiheadAttention`` compute the same."""

import copy

import pytest
import torch
from torch import nn

from vitquant.models.rewrites.multihead_attention import (
    LayeredAttention,
    replace_multihead_attention,
)
from vitquant.quantization.graph.points import example_inputs, find_points

B, M, N, C, HEADS = 2, 5, 7, 12, 3


class Holder(nn.Module):
    """A network around one attention."""

    def __init__(self, **arguments):
        super().__init__()
        self.attn = nn.MultiheadAttention(C, HEADS, **arguments)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn_like(parameter) / 3)

    def forward(self, *args, **kwargs):
        return self.attn(*args, **kwargs)[0]


class Pooling(Holder):
    """A learned query."""

    def __init__(self):
        super().__init__(batch_first=True)
        self.probe = nn.Parameter(torch.randn(1, 1, C))

    def forward(self, x):
        return super().forward(self.probe.expand(len(x), -1, -1), x, x)


def layers(network):
    return {
        n: tuple(m.weight.shape) for n, m in network.named_modules() if isinstance(m, nn.Linear)
    }


def replaced(network):
    """A copy in eval mode with layers, which has to compute the same; and the original."""
    torch.manual_seed(1)
    original = network.eval().requires_grad_(False)
    network = copy.deepcopy(original)
    replace_multihead_attention(network)
    assert not any(isinstance(m, nn.MultiheadAttention) for m in network.modules())
    assert not network.training
    return network, original


def check(network, *inputs, **options):
    new, original = replaced(network)
    with torch.inference_mode():
        expected, found = original(*inputs, **options), new(*inputs, **options)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-6)
    return new


def padding():
    mask = torch.zeros(B, N, dtype=torch.bool)
    mask[0, 4:] = True
    return mask


def square():
    mask = torch.rand(N, N) < 0.3
    return mask & ~torch.eye(N, dtype=torch.bool)


MASKS = {
    "none": dict,
    "padding": lambda: {"key_padding_mask": padding()},
    "added padding": lambda: {"key_padding_mask": torch.randn(B, N)},
    "pairs": lambda: {"attn_mask": square()},
    "added": lambda: {"attn_mask": torch.randn(N, N)},
    "of heads": lambda: {"attn_mask": torch.randn(B * HEADS, N, N)},
    "both": lambda: {"attn_mask": square(), "key_padding_mask": padding()},
    "causal": lambda: {
        "attn_mask": nn.Transformer.generate_square_subsequent_mask(N),
        "is_causal": True,
    },
}


@pytest.mark.filterwarnings("ignore:Support for mismatched")
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("masks", MASKS)
def test_every_mask(masks, need_weights, batch_first):
    torch.manual_seed(0)
    x = torch.randn(B, N, C) if batch_first else torch.randn(N, B, C)
    network = Holder(batch_first=batch_first)
    new = check(network, x, x, x, need_weights=need_weights, **MASKS[masks]())
    assert layers(new) == {"attn.qkv": (3 * C, C), "attn.out_proj": (C, C)}


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kdim", [None, 8])
@pytest.mark.parametrize("vdim", [None, 8])
def test_three_tensors_of_any_width(vdim, kdim, bias, batch_first):
    torch.manual_seed(0)
    inputs = [torch.randn(B, M, C), torch.randn(B, N, kdim or C), torch.randn(B, N, vdim or C)]
    if not batch_first:
        inputs = [x.transpose(0, 1) for x in inputs]
    network = Holder(bias=bias, batch_first=batch_first, kdim=kdim, vdim=vdim)
    check(network, *inputs)


def test_widths_of_keys_tell_the_layers():
    new, _ = replaced(Holder(kdim=8, vdim=8))
    assert layers(new) == {"attn.q": (C, C), "attn.kv": (2 * C, 8), "attn.out_proj": (C, C)}
    new, _ = replaced(Holder(kdim=8))
    assert list(layers(new)) == ["attn.q", "attn.k", "attn.v", "attn.out_proj"]


def test_without_a_batch():
    x = torch.randn(N, C)
    check(Holder(), x, x, x, attn_mask=torch.randn(HEADS, N, N))
    check(Holder(), torch.randn(M, C), x, x, key_padding_mask=padding()[0])


def test_tensors_that_are_partly_one():
    x, y = torch.randn(N, B, C), torch.randn(N, B, C)
    check(Holder(), x, x, y)
    check(Holder(), x, y, x)


def test_a_learned_query_has_a_layer_of_its_own():
    new = check(Pooling(), torch.randn(B, N, C))
    assert layers(new) == {"attn.q": (C, C), "attn.kv": (2 * C, C), "attn.out_proj": (C, C)}


def test_weights_are_not_returned():
    new, _ = replaced(Holder())
    x = torch.randn(N, B, C)
    assert new.attn(x, x, x)[1] is None


def test_a_hint_without_a_mask_is_refused_as_in_torch():
    new, original = replaced(Holder())
    x = torch.randn(N, B, C)
    for network in (original, new):
        with pytest.raises(RuntimeError, match="eed attn_mask"):
            network(x, x, x, is_causal=True)


@pytest.mark.parametrize("arguments", [{"add_bias_kv": True}, {"add_zero_attn": True}])
def test_what_no_layer_computes_is_left(arguments):
    network = Holder(**arguments)
    replace_multihead_attention(network)
    assert isinstance(network.attn, nn.MultiheadAttention)


def test_a_subclass_with_its_own_forward_is_left():
    class Other(nn.MultiheadAttention):
        def forward(self, x):
            return x

    network = nn.Sequential(Other(C, HEADS))
    replace_multihead_attention(network)
    assert isinstance(network[0], Other)


def test_one_in_two_places_stays_one():
    attention = nn.MultiheadAttention(C, HEADS)
    network = nn.ModuleDict({"a": attention, "b": attention})
    replace_multihead_attention(network)
    assert network["a"] is network["b"]
    assert isinstance(network["a"], LayeredAttention)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_encoder_layers_have_no_shortcut(batch_first, norm_first):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(
        C, 2, 16, batch_first=batch_first, norm_first=norm_first, activation="gelu"
    )
    encoder = nn.TransformerEncoder(layer, 2)
    x = torch.randn(B, N, C) if batch_first else torch.randn(N, B, C)
    new = check(encoder, x)
    found = find_points(nn.Sequential(new, nn.Flatten(1, -1)), x)
    assert len(found.layers) == 2 * 4
    assert len(found.matmuls) == 2 * 2
    assert not found.unsupported


def test_padded_encoder():
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(C, 2, 16, batch_first=True), 2)
    new, original = replaced(encoder)
    x, mask = torch.randn(B, N, C), padding()
    with torch.inference_mode():
        expected = original(x, src_key_padding_mask=mask)
        found = new(x, src_key_padding_mask=mask)
    assert torch.allclose(found[~mask], expected[~mask], atol=1e-6)


def test_decoder_attends_to_the_encoder():
    torch.manual_seed(0)
    layer = nn.TransformerDecoderLayer(C, HEADS, 16)
    new = check(nn.TransformerDecoder(layer, 1), torch.randn(M, B, C), torch.randn(N, B, C))
    assert layers(new)["layers.0.self_attn.qkv"] == (3 * C, C)
    assert layers(new)["layers.0.multihead_attn.kv"] == (2 * C, C)


class Crossed(nn.Module):
    """An attention to other tokens that nothing gives away."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, C, 8, 8)
        self.attention = Holder(batch_first=True)

    def forward(self, images):
        x = self.embed(images).flatten(2).mT
        return self.attention(x[:, :3], x, x)


def test_what_was_taken_for_a_self_attention_is_named():
    new = check(Crossed(), example_inputs((3, 16, 16)))
    points = find_points(new, example_inputs((3, 16, 16)))
    assert points.unsupported == {"attention.attn": "a matmul with a bare parameter"}


def test_gradients_and_dropout_in_training():
    network = Holder(dropout=0.5, batch_first=True).eval()
    replace_multihead_attention(network)
    x = torch.randn(B, N, C)
    quiet = network(x, x, x)
    assert torch.equal(quiet, network(x, x, x))
    network.train()
    noisy = network(x, x, x)
    assert not torch.equal(noisy, network(x, x, x))
    noisy.sum().backward()
    assert network.attn.qkv.weight.grad is not None
