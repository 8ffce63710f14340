"""Calibration images without data: drawn by a text-to-image model."""
