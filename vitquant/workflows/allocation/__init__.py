"""Bits for each layer: how a budget becomes a choice."""
