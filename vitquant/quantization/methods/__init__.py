"""How a float model becomes a quantized one: one file for each method, one registry (base)."""

from vitquant.quantization.methods import block, dfq, joint, repq, rtn

__all__ = ["block", "dfq", "joint", "repq", "rtn"]
