"""How a float model becomes a quantized one: one file for each method, one registry."""

from vitquant.methods import joint, rtn

__all__ = ["joint", "rtn"]
