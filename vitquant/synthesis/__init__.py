"""Calibration images without data: from a text-to-image model, or from the float model itself."""
