"""Rewrites that leave the float model's output unchanged."""
