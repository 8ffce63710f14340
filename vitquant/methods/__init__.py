"""How a float model becomes a quantized one: one file for each method, one registry."""
