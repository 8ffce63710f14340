"""Names that a user may write, for the help and for messages."""

HUB = "hf-hub:"
"""What precedes the name of a repository of the Hugging Face Hub."""
ALIASES = (
    "vit_tiny", "vit_small", "vit_base", "deit_tiny", "deit_small", "deit_base",
    "swin_tiny", "swin_small", "swin_base",
)  # fmt: skip
MINIATURES = ("vit_digits", "swin_digits")
PRECISIONS = ("auto", "float32", "bfloat16")
DEFAULT_GENERATOR = "stabilityai/sd-turbo"
MINIATURE_GENERATOR = "sd-digits"
MODEL = (
    f"an alias ({', '.join(ALIASES)}), a miniature ({', '.join(MINIATURES)}), a timm name, "
    f"{HUB}owner/name, or the path of a checkpoint"
)
"""What is accepted where a model is named."""
