"""From a network to an ONNX graph, through PyTorch's exporter."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from onnx import ModelProto
from torch import Tensor, nn

from vitquant.core.errors import UserError

INPUT = "images"


def trace(
    network: nn.Module, example: Tensor, dynamic: dict[int, str], opset: int, output: str
) -> ModelProto:
    """The graph of a network in eval mode.

    Args:
        example: an input.
        dynamic: names of its dimensions whose size is left open, by position.
        output: what to call the network's output.

    Raises:
        UserError: the exporter cannot follow the network's code.
    """
    sizes = {i: torch.export.Dim(name) for i, name in dynamic.items()}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                network,
                (example,),
                input_names=[INPUT],
                output_names=[output],
                dynamic_shapes=(sizes,),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise UserError(
            f"FILE: PyTorch's exporter cannot follow this network ({_reason(error)}); ViT, DeiT "
            f"and Swin are accepted"
        ) from error
    if program is None:  # which is for the exporter that came before dynamo's
        raise RuntimeError("torch.onnx.export returned no program")
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's messages about itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
