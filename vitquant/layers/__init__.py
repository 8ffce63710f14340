"""Quantized Linear, Conv2d and attention products. Knows quantizers, not timm."""
