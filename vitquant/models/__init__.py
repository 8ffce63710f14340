"""Pretrained models: loading them by name, and finding out how they are wired."""
