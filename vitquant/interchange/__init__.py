"""Quantized weights in the conventions of other libraries."""
