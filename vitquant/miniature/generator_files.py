"""Where the miniature generator lies, and what it is called on the command line."""

from pathlib import Path

GENERATOR = "sd-digits"


def generator_path() -> Path:
    """The folder of the bundled pipeline, for `StableDiffusionPipeline.from_pretrained`."""
    return Path(__file__).parent / "generator"
