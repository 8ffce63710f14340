"""One file for each architecture of text-to-image pipeline."""
