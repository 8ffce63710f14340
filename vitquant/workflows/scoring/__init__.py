"""Models beside each other on the same images: several files, or two towers as one classifier."""
