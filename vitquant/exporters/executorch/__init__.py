"""Quantized models as ExecuTorch programs for XNNPACK."""
