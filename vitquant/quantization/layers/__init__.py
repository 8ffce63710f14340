"""The modules of a quantized network, as they are trained and as they are stored."""
