"""Make a model in memory equal to the one that its file will give back."""

import torch
from torch import nn

from vitquant.checkpoint.write import is_float_remainder


@torch.no_grad()
def round_float_remainder(module: nn.Module) -> None:
    """Round what stays float to the values that the checkpoint holds, in place."""
    for name, tensor in module.state_dict().items():
        if is_float_remainder(name, tensor):
            tensor.copy_(tensor.half())
