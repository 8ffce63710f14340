"""vitquant: low-bit vision transformers without labelled data."""

from importlib.metadata import version

__version__ = version("vitquant")
