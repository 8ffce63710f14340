"""How good a model is, alone and beside its float reference."""
