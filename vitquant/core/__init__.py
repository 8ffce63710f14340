"""Needed everywhere, knows nothing of models."""
