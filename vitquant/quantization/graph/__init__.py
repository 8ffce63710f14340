"""What is in a float model, found by running it."""
