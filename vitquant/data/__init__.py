"""Images for calibration and evaluation: where they lie, what they show, how they are read."""
