"""A checkpoint as a network: behind ``vitquant.load``."""

from pathlib import Path
from typing import Any

from torch import nn

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.models.hub_config import pretrained_cfg
from vitquant.models.module_adapter import Build
from vitquant.workflows.open import resolve_checkpoint
from vitquant.workflows.python_model import adapter_of_checkpoint


def load(
    checkpoint: str | Path,
    *,
    revision: str | None = None,
    build: Build | None = None,
    device: str = "cpu",
) -> nn.Module:
    """Load a checkpoint as an ``nn.Module`` with timm's interface, in eval mode.

    The module takes preprocessed images (B, C, H, W) and returns logits (B, classes). It computes
    with the integers of the checkpoint, in float arithmetic: at few bits, its outputs differ from
    those of an integer runtime, which adds in another order. It has buffers instead of parameters:
    it is for inference.

    It can be copied, pickled, compiled, exported and traced. ``torch.jit.script`` does not take it.
    Its weights are computed from its integers in each forward pass, so that it computes with
    whatever was loaded or copied into it. After ``to_empty``, buffers that timm does not save have
    to be filled too, with ``init_non_persistent_buffers`` of the modules that have it.

    ``forward_features``, ``forward_head``, ``num_classes`` and ``num_features`` are those of the
    architecture in timm. ``pretrained_cfg``, also called ``default_cfg``, has the preprocessing and
    the class names that came with the checkpoint, so that ``timm.data.resolve_model_data_config``
    finds them. It names no place to load weights from. A module that is not timm's comes back with
    the interface of what ``build`` returns, and without ``pretrained_cfg``.

    Args:
        checkpoint: a file that vitquant wrote, or ``hf-hub:OWNER/NAME`` of one on the Hub
            (docs/how-to/publish.md).
        revision: a branch, tag or commit on the Hub. ``hf-hub:OWNER/NAME@REVISION`` means the same.
        build: of a module that is not timm's, the function without arguments that builds it.
        device: a torch device, such as ``"cuda"``.

    Returns:
        The quantized network.

    Raises:
        UserError: there is no such checkpoint, or it is damaged.
    """
    read = read_checkpoint(resolve_checkpoint(str(checkpoint), revision).path)
    adapter = adapter_of_checkpoint(read, build, only_builds=True)
    model = restore(read, adapter)
    if adapter is not None:
        return model.module.to(device)
    cfg = {n: tuple(v) if isinstance(v, list) else v for n, v in pretrained_cfg(model).items()}
    module: Any = model.module
    module.pretrained_cfg = module.default_cfg = cfg
    loaded: nn.Module = module.to(device)
    return loaded
