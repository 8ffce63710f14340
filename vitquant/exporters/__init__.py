"""A quantized model in the files of other programs, and how such a file is verified."""
