"""The checkpoint: one safetensors file of packed integers, and what it takes to read it."""
