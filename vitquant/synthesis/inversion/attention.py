"""Attention that is computed by two matmuls and a softmax."""

from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from vitquant.quantization.layers.attention import decomposed_sdpa


class MatmulAttention(TorchFunctionMode):
    """In this context, ``F.scaled_dot_product_attention`` is two matmuls and a softmax.

    On a CPU, with the few tokens that an image has, that is several times as fast as torch's
    kernel, above all backward.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return decomposed_sdpa(torch.matmul, torch.matmul, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))
