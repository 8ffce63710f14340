"""What comes before a network of transformers: its image processor, or its tokenizer."""
