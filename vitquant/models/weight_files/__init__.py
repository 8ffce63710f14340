"""Files of weights: their kinds, and the names of their tensors."""
