"""The numerics of quantization: grids, fake quantization, scale search.

Knows tensors, not models.
"""
