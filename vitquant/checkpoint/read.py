"""From one file back to a quantized model. Nothing in the file is executed."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from vitquant.checkpoint.header import FORMAT_VERSION, KEY, Header, LayerRecord, load_header
from vitquant.checkpoint.packing import unpack
from vitquant.config.bits import Bits
from vitquant.core.errors import UserError, first_line
from vitquant.core.hashing import sha256
from vitquant.core.modules import submodule
from vitquant.data.class_names import ClassNames
from vitquant.models.adapter import ModelAdapter
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.module_adapter import SOURCE as MODULE
from vitquant.models.sources import adapter_of
from vitquant.models.timm_adapter import TIMM
from vitquant.quantization.layers.attention import QuantizedMatmul, frozen_matmul
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.conv import IntConv2d, conv_arguments
from vitquant.quantization.layers.interception import intercept
from vitquant.quantization.layers.linear import IntLinear
from vitquant.quantization.quantizers.grid import Grid, activation_grid, grids, prefix_format


@dataclass
class Checkpoint:
    """A file's header and tensors, checked against each other."""

    path: Path
    header: Header
    tensors: dict[str, Tensor]

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and check that it is whole.

    Raises:
        UserError: the file is missing, cut short, damaged, foreign, or of a newer format.
    """
    if not path.is_file():
        raise UserError(f"FILE: {path} is not a file; a checkpoint that vitquant wrote is accepted")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"FILE: {path} is not a readable safetensors file ({error}); it may be cut short"
        ) from error
    if text is None:
        raise UserError(
            f"FILE: {path} was not written by vitquant; for float weights, vitquant quantize or "
            f"eval takes the model's name, and the file with --weights"
        )
    header = _header(path, text)
    if sha256(tensors) != header.content_sha256:
        raise UserError(f"FILE: {path} is damaged: its tensors do not match its checksum")
    return Checkpoint(path, header, tensors)


def _header(path: Path, text: str) -> Header:
    try:
        return load_header(text)
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError):
            raise UserError(f"FILE: {path} is damaged: its metadata is not JSON") from error
        raise UserError(
            f"FILE: {path} has {error}, this vitquant reads up to {FORMAT_VERSION}; "
            f"a newer vitquant is needed"
        ) from error
    except (KeyError, TypeError) as error:
        raise UserError(f"FILE: {path} is damaged: its metadata lacks {error}") from error


def restore(checkpoint: Checkpoint, adapter: ModelAdapter | None = None) -> Model:
    """The quantized model of a checkpoint, in eval mode; computes what was saved, bit for bit.

    adapter: what builds the network, if it is not one that the checkpoint names.

    Raises:
        UserError: the installed library builds another network under the same name, or it is of a
            module in Python and there is no ``adapter``.
    """
    header = checkpoint.header
    source = header.model.get("source", TIMM.source)
    if source == MODULE and adapter is None:
        raise UserError(
            f"FILE: {checkpoint.path} is of {header.model['architecture']}, a module in Python; "
            f"load it there with build=, a function that builds the module: "
            f"vitquant.load(FILE, build=...)"
        )
    try:
        return _restored(header, dict(checkpoint.tensors), adapter or adapter_of(source))
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if source == MODULE:
            raise UserError(
                f"build: it gives another network than that of {checkpoint.path} "
                f"({first_line(error)}); one with the same names and shapes is accepted"
            ) from error
        raise UserError(
            f"FILE: {checkpoint.path} does not fit the installed {source}'s "
            f"{header.model.get('architecture')} ({first_line(error)}); it was written with "
            f"{source} {header.versions.get(source, 'unknown')}"
        ) from error


def _restored(header: Header, state: dict[str, Tensor], adapter: ModelAdapter) -> Model:
    identity = ModelIdentity(**header.model)
    module = fit(adapter.rebuild(identity.architecture, identity.arguments), header)
    layers = {n: m for n, m in module.named_modules() if isinstance(m, IntLayer)}
    for name, layer in layers.items():
        key = f"{name}.codes"
        state[key] = unpack(state[key], tuple(layer.codes.shape), layer.grid)
    module.load_state_dict(state)
    classes = None if header.classes is None else ClassNames.from_json(header.classes)
    return Model(module, identity, header.preprocessing, classes, adapter=adapter)


def fit(module: nn.Module, header: Header) -> nn.Module:
    """Replace the layers of a float architecture, in place, by those that ``header`` lists.

    Raises:
        AttributeError, TypeError, ValueError: the architecture lacks layers that ``header`` lists.
    """
    for record in header.layers:
        module.set_submodule(record.name, _layer(module, record))
    for product in header.products:
        found = map(activation_grid, product.matmul_bits(), product.signed_activations)
        own = zip(found, product.heads, product.prefix, strict=True)
        matmuls = [_matmul(grid, heads, prefix) for grid, heads, prefix in own]
        intercept(module.get_submodule(product.name), matmuls)
    return module.eval().requires_grad_(False)


def _matmul(grid: Grid, heads: int, prefix: int) -> QuantizedMatmul:
    return frozen_matmul(grid, heads, prefix_format(prefix, grid))


def _layer(module: nn.Module, record: LayerRecord) -> IntLayer:
    layer: nn.Conv2d | nn.Linear
    if record.kind == "conv2d":
        layer = submodule(module, record.name, nn.Conv2d)
    else:
        layer = submodule(module, record.name, nn.Linear)
    if tuple(layer.weight.shape) != record.shape:
        raise ValueError(f"{record.name} is {tuple(layer.weight.shape)}, not {record.shape}")
    bits = Bits(record.weight_bits, record.activation_bits, record.signed_activations)
    weight, activation = grids(bits)
    bias = layer.bias is not None
    if isinstance(layer, nn.Conv2d):
        return IntConv2d(
            record.shape, conv_arguments(layer), bias=bias, weight=weight, activation=activation
        )
    return IntLinear(
        record.shape,
        bias=bias,
        weight=weight,
        activation=activation,
        multiplier=record.rescaling == "stored",
        shift=record.shifted,
        prefix=prefix_format(record.prefix, activation, record.prefix_bits),
    )
