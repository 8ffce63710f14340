"""Quantized models on the Hugging Face Hub: publishing one, and finding it again."""
