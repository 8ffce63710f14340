"""A quantized model as an ONNX model, and as a verified file."""

from pathlib import Path

import onnx
import torch
from onnx import ModelProto
from torch import nn

import vitquant
from vitquant.checkpoint.header import Header
from vitquant.checkpoint.history import KEY as HISTORY
from vitquant.core.errors import UserError
from vitquant.core.files import check_writable, write_whole
from vitquant.core.progress import Progress, Silent
from vitquant.data.image_source import ImageSource
from vitquant.exporters.compared import IMAGES, decode, made_images
from vitquant.exporters.onnx.float16 import to_float16
from vitquant.exporters.onnx.lower import lower
from vitquant.exporters.onnx.options import OnnxOptions, check_target, choose_opset, weight_types
from vitquant.exporters.onnx.preprocessing import Preprocessing
from vitquant.exporters.onnx.symbolic_ops import symbolic_ops
from vitquant.exporters.onnx.tensorrt_rules import broken_rules
from vitquant.exporters.onnx.trace import (
    INPUT,
    TOKENS,
    decomposed_attention,
    drop_empty_padding,
    float16_initializers,
    name_after_modules,
    nodes_of,
    strip_exporter_metadata,
    tensor_output,
    trace,
)
from vitquant.exporters.runtimes.metadata import Metadata
from vitquant.exporters.verification import Verification
from vitquant.exporters.verify import verify
from vitquant.models.model import Model

_IMAGE = {0: "batch"}
_RAW_IMAGE = {0: "batch", 1: "height", 2: "width"}
# By target: what finds the documented rules that a file breaks, where no runtime is at hand.
_RULES = {"tensorrt": broken_rules}


def to_onnx(model: Model, header: Header, options: OnnxOptions | None = None) -> ModelProto:
    """The ONNX model of a quantized one that a checkpoint with ``header`` gave.

    Raises:
        UserError: the opset cannot hold the weights, the model was not quantized for the target,
            the graph cannot be traced, or preprocessing cannot be put into it.
    """
    options = options or OnnxOptions()
    check_target(model.module, options)
    opset = choose_opset(model.module, options)
    network, example, dynamic = model.module, model.example_inputs(), _IMAGE
    if options.raw_images:
        if model.reads_text:
            raise UserError(
                f"--with-preprocessing: {model.identity.name} reads texts, whose tokens are the "
                f"input of the file; leave it out"
            )
        network = nn.Sequential(Preprocessing(model.preprocessing), model.module).eval()
        height, width = model.image_size
        # Of no size that occurs in the network, so that no size is taken for another.
        example = torch.zeros(2, 2 * height + 3, 3 * width + 5, 3, dtype=torch.uint8)
        dynamic = _RAW_IMAGE
    output = "logits" if model.num_classes else "features"
    # Attention whose matmuls stay float as single operations too, rather than as one opaque node,
    # which later opsets have and few runtimes know.
    with (
        symbolic_ops(model.module) as modules,
        decomposed_attention(model.module),
        tensor_output(model.module, model.adapter.output),
    ):
        name = TOKENS if model.reads_text else INPUT
        graph = trace(network, example, dynamic, opset, output, name)
        preprocessing = nodes_of(graph, Preprocessing)
        within = "1." if options.raw_images else ""
        name_after_modules(graph, {f"{within}{name}": name for name in modules})
        strip_exporter_metadata(graph)
        drop_empty_padding(graph)
        integer = lower(graph, modules, options)
    if options.rest_type == "float16":
        to_float16(graph, preprocessing)
    else:
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
        settings={n: value for n, value in header.settings.items() if n != HISTORY}
        | {
            "target": options.target.name,
            "weight_types": sorted({t.name for t in weight_types(model.module, options)}),
            "opset": opset,
            "rest": options.rest_type,
            "float_attention": options.float_attention,
            "checkpoint_sha256": header.content_sha256,
        },
    ).write(graph)
    onnx.checker.check_model(graph, full_check=True)
    return graph


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
        images: what to verify with, by default smooth noise, or texts of class names; up to
            ``count`` of them are used.
        float_model: what was quantized, for comparison; without it, only its speed is measured.
        min_agreement: the least agreement of the file with ``model``, from 0 to 1; see
            :data:`vitquant.exporters.verify.MARGIN` for the default.

    Raises:
        UserError: the file cannot be written, the options do not fit the model, or an image cannot
            be read.
    """
    options, progress = options or OnnxOptions(), progress or Silent()
    check_writable(out)
    check_target(model.module, options)
    opset = choose_opset(model.module, options)
    seen = decode(images or made_images(model, count), count, progress)
    progress.say(
        f"{model.identity.name} {header.bits} to ONNX for {options.target.label}: opset {opset}, "
        f"weights as {options.min_weight_type.name} or wider; takes a minute or so"
    )
    graph = to_onnx(model, header, options)
    write_whole(out, graph.SerializeToString())
    find_broken = _RULES.get(options.target.name)
    return verify(
        out,
        model,
        size,
        seen,
        float_model,
        min_agreement=min_agreement,
        broken_rules=None if find_broken is None else find_broken(graph),
        progress=progress,
    )
