"""A network with the modules that a checkpoint's tensors fit into."""

from torch import nn

from vitquant.checkpoint.schema import Header
from vitquant.layers.conv import IntegerConv2d, convolution_settings
from vitquant.layers.interception import intercept
from vitquant.layers.linear import IntegerLinear
from vitquant.layers.product import fixed_product
from vitquant.quantizers.grid import activation_grid, front, grids


def fit(module: nn.Module, header: Header) -> nn.Module:
    """Replace the layers of a float architecture, in place, by those that ``header`` lists.

    Raises:
        AttributeError, ValueError: the architecture has not the layers that ``header`` lists.
    """
    for record in header.layers:
        layer = module.get_submodule(record.name)
        if tuple(layer.weight.shape) != record.shape:
            raise ValueError(f"{record.name} is {tuple(layer.weight.shape)}, not {record.shape}")
        weight, activation = grids(record.weight_bits, record.activation_bits)
        shared = {"bias": layer.bias is not None, "weight": weight, "activation": activation}
        if record.kind == "conv2d":
            made = IntegerConv2d(record.shape, convolution_settings(layer), **shared)
        else:
            stored = record.rescaling == "stored"
            made = IntegerLinear(
                record.shape,
                **shared,
                multiplier=stored,
                shift=record.shifted,
                front=front(record.prefix, activation, record.prefix_bits),
            )
        module.set_submodule(record.name, made)
    for product in header.products:
        grid = activation_grid(product.activation_bits)
        own = zip(product.heads, product.prefix, strict=True)
        made = [fixed_product(grid, heads, front(prefix, grid)) for heads, prefix in own]
        intercept(module.get_submodule(product.name), made)
    return module.eval().requires_grad_(False)
