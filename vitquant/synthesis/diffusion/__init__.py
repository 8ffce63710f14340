"""Images from a one-step text-to-image model."""
