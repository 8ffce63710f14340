"""What is measured of tensors inside the networks."""
