"""Images that are optimised through the float model itself, without a generator."""
