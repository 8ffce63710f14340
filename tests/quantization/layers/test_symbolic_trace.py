"""torch.fx sees a quantized layer, and an intercepted module, as one call."""

import pytest
import torch
from torch import fx, nn

from vitquant.quantization.layers.attention import frozen_matmul
from vitquant.quantization.layers.conv import IntConv2d, conv_arguments
from vitquant.quantization.layers.interception import intercept
from vitquant.quantization.layers.linear import IntLinear
from vitquant.quantization.quantizers.grid import activation_grid, weight_grid

GRIDS = {"weight": weight_grid(8), "activation": activation_grid(8)}


class Head(nn.Module):
    """Takes a keyword, returns a tuple, and shares a parameter with what comes after it."""

    def __init__(self, mix):
        super().__init__()
        self.mix = mix

    def forward(self, x, *, scale):
        return (x @ x.mT) * scale @ (x @ self.mix), None


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Parameter(torch.eye(4))
        self.first, self.second = Head(self.mix), Head(self.mix)
        self.layer = IntLinear((4, 4), bias=True, **GRIDS)
        self.layer.codes.copy_(torch.arange(16).view(4, 4))
        for head in (self.first, self.second):
            intercept(head, [frozen_matmul(activation_grid(2)), frozen_matmul(activation_grid(2))])

    def forward(self, x):
        x, _ = self.first(x, scale=0.25)
        y, _ = self.second(self.layer(x), scale=0.5)
        return y @ self.mix


def test_each_is_one_call_and_computes_as_before():
    network = Network()
    graph = fx.symbolic_trace(network)
    graph.graph.lint()
    calls = [node.target for node in graph.graph.nodes if node.op == "call_module"]
    assert calls == ["first", "layer", "second"]
    for batch in (1, 5):
        x = torch.randn(batch, 4, 4)
        assert torch.equal(graph(x), network(x))
    network.second.products[0].left.scale.fill_(0.1)
    assert torch.equal(graph(x), network(x))


def test_a_convolution_is_one_call():
    conv = nn.Conv2d(3, 4, 2)
    layer = IntConv2d((4, 3, 2, 2), conv_arguments(conv), bias=True, **GRIDS)
    graph = fx.symbolic_trace(nn.Sequential(layer, nn.ReLU()))
    assert [node.op for node in graph.graph.nodes].count("call_module") == 2
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(graph(x), layer(x).relu())


class Outer(Head):
    def __init__(self):
        super().__init__(nn.Parameter(torch.eye(4)))
        self.layer = IntLinear((4, 4), bias=True, **GRIDS)

    def forward(self, x):
        return self.layer(x @ x.mT)


def test_a_module_whose_hooks_would_not_run_is_refused():
    outer = Outer()
    intercept(outer, [frozen_matmul(activation_grid(2))])
    with pytest.raises(ValueError, match=r"Outer: .*; nn.Sequential\(module\) is accepted"):
        fx.symbolic_trace(outer)
    x = torch.randn(2, 4, 4)
    assert torch.equal(fx.symbolic_trace(nn.Sequential(outer))(x), outer(x))
