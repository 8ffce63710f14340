"""Optimizing a fake-quantized model against the float model."""
