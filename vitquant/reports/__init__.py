"""What a person reads about a quantized model."""
