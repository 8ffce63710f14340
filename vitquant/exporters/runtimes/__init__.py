"""An exported file as a model that a runtime computes."""
