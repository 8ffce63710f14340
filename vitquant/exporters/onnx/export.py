"""A quantized model as an ONNX model, and as a verified file."""

from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import torch
from onnx import ModelProto
from torch import nn

import vitquant
from vitquant.checkpoint.header import Header
from vitquant.core.errors import UserError
from vitquant.core.files import check_writable, write_whole
from vitquant.core.progress import Progress, Silent
from vitquant.data.image_source import ImageSource, ListSource
from vitquant.data.loader import stratified_sample
from vitquant.data.sources.noise import SmoothNoiseSource
from vitquant.exporters.onnx.graph import INT2, INT16, OnnxIntType, smallest_type
from vitquant.exporters.onnx.lower import lower
from vitquant.exporters.onnx.preprocessing import Preprocessing
from vitquant.exporters.onnx.symbolic_ops import symbolic_ops
from vitquant.exporters.onnx.trace import (
    drop_empty_padding,
    float16_initializers,
    strip_exporter_metadata,
    trace,
)
from vitquant.exporters.runtimes.metadata import Metadata
from vitquant.exporters.verify import Verification, verify
from vitquant.models.model import Model
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.interception import intercepted
from vitquant.quantization.quantizers.modules import FrozenQuantizer

# The highest that was tested; of the types, none needs more.
HIGHEST_OPSET = 25
_IMAGE = {0: "batch"}
_RAW_IMAGE = {0: "batch", 1: "height", 2: "width"}


@dataclass(frozen=True)
class OnnxOptions:
    """How to write a model.

    min_weight_type: the smallest type that weights are stored in; each gets the smallest that holds
    it. opset: by default the lowest that has these types. float_attention: leave the matmuls of
    activations float. raw_images: take uint8 images (batch, H, W, 3) of any size and preprocess
    them in the graph.
    """

    min_weight_type: OnnxIntType = INT2
    opset: int | None = None
    float_attention: bool = False
    raw_images: bool = False


def to_onnx(model: Model, header: Header, options: OnnxOptions | None = None) -> ModelProto:
    """The ONNX model of a quantized one that a checkpoint with ``header`` gave.

    Raises:
        UserError: the opset cannot hold the weights, the graph cannot be traced, or preprocessing
            cannot be put into it.
    """
    options = options or OnnxOptions()
    opset = choose_opset(model.module, options)
    network, example, dynamic = model.module, torch.zeros(2, *model.input_size), _IMAGE
    if options.raw_images:
        network = nn.Sequential(Preprocessing(model.preprocessing), model.module).eval()
        height, width = model.input_size[1:]
        # Of no size that occurs in the network, so that no size is taken for another.
        example = torch.zeros(2, 2 * height + 3, 3 * width + 5, 3, dtype=torch.uint8)
        dynamic = _RAW_IMAGE
    output = "logits" if model.num_classes else "features"
    # Attention whose matmuls stay float as single operations too, rather than as one opaque node,
    # which later opsets have and few runtimes know.
    quantized = [attention for _, attention, _ in intercepted(model.module)]
    with (
        symbolic_ops(model.module) as modules,
        model.adapter.decomposed_attention(model.module, quantized),
    ):
        graph = trace(network, example, dynamic, opset, output)
        strip_exporter_metadata(graph)
        drop_empty_padding(graph)
        integer = lower(graph, modules, options.min_weight_type, options.float_attention)
    float16_initializers(graph)
    graph.ir_version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    graph.producer_name, graph.producer_version = "vitquant", vitquant.__version__
    Metadata(
        identity=model.identity,
        preprocessing=model.preprocessing,
        classes=model.classes,
        bits=header.bits,
        num_classes=model.num_classes,
        raw_images=options.raw_images,
        integer_kernels=integer,
        settings=header.settings
        | {
            "weight_types": sorted({t.name for t in _weight_types(model.module, options)}),
            "opset": opset,
            "float_attention": options.float_attention,
            "checkpoint_sha256": header.content_sha256,
        },
    ).write(graph)
    onnx.checker.check_model(graph, full_check=True)
    return graph


def choose_opset(network: nn.Module, options: OnnxOptions) -> int:
    """The opset to write.

    Raises:
        UserError: the one asked for has no type for the weights or the activations.
    """
    types = _weight_types(network, options)
    if any(m.grid.signed for m in network.modules() if isinstance(m, FrozenQuantizer)):
        types.add(INT16)
    lowest = max(types, key=lambda t: t.opset)
    if options.opset is None:
        return lowest.opset
    if options.opset < lowest.opset:
        where = "the activations" if lowest is INT16 else "the weights"
        other = "" if lowest is INT16 else ", or another --weight-type"
        raise UserError(
            f"--opset: {options.opset} has no type {lowest.name} for {where}; "
            f"{lowest.opset} to {HIGHEST_OPSET} are accepted{other}"
        )
    if options.opset > HIGHEST_OPSET:
        raise UserError(
            f"--opset: {options.opset} is not supported yet; {lowest.opset} to {HIGHEST_OPSET} are "
            f"accepted"
        )
    return options.opset


def _weight_types(network: nn.Module, options: OnnxOptions) -> set[OnnxIntType]:
    """The types that the weights of a network will have."""
    layers = [m for m in network.modules() if isinstance(m, IntLayer)]
    return {smallest_type(layer.grid, options.min_weight_type) for layer in layers}


IMAGES = 32
"""How many images a file is verified with by default."""


def export_onnx(
    model: Model,
    header: Header,
    out: Path,
    options: OnnxOptions | None = None,
    *,
    size: int = 0,
    images: ImageSource | None = None,
    count: int = IMAGES,
    float_model: Model | None = None,
    min_agreement: float | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Write a quantized model as an ONNX file and run that beside the model.

    Whether the file passes is for the caller to ask: :meth:`Verification.check`.

    Args:
        model, header: as a checkpoint gives them. size: the checkpoint's, in bytes, for reports.
        out: the file; it is replaced once the new one is complete.
        images: what to verify with, by default smooth noise; up to ``count`` of them are used.
        float_model: what was quantized, for comparison; without it, only its speed is measured.
        min_agreement: the least agreement of the file with ``model``, from 0 to 1; see
            :data:`vitquant.exporters.verify.MARGIN` for the default.

    Raises:
        UserError: the file cannot be written, the options do not fit the model, or an image cannot
            be read.
    """
    options, progress = options or OnnxOptions(), progress or Silent()
    check_writable(out)
    opset = choose_opset(model.module, options)
    seen = _decode(images or SmoothNoiseSource(count, model.input_size[1:]), count, progress)
    progress.say(
        f"{model.identity.name} {header.bits} to ONNX: opset {opset}, weights as "
        f"{options.min_weight_type.name} or wider; takes a minute or so"
    )
    write_whole(out, to_onnx(model, header, options).SerializeToString())
    return verify(
        out,
        model,
        size,
        seen,
        float_model or _with_random_weights(model),
        real=float_model is not None,
        min_agreement=min_agreement,
        progress=progress,
    )


def _with_random_weights(model: Model) -> Model:
    """The float architecture, for its speed."""
    identity = model.identity
    module = model.adapter.rebuild(identity.architecture, identity.arguments)
    return replace(model, module=module.requires_grad_(False))


def _decode(images: ImageSource, count: int, progress: Progress) -> ListSource:
    """Up to ``count`` of the images, spread over their classes, in memory."""
    chosen = stratified_sample(images, count, seed=0)
    track = progress.track(chosen, len(chosen), "reading images")
    return ListSource(images.name, [images.image(i) for i in track])
