"""Images that are optimized through the float model itself, without a generator."""
