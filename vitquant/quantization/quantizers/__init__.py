"""Tensors in, tensors out: grids, fake quantization, scale search."""
