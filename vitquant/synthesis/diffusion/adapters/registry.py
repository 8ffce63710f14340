"""Every architecture that is known. To add one: a file beside this one, and a line here."""

from typing import Any

from vitquant.synthesis.diffusion.adapters.base import PipelineAdapter
from vitquant.synthesis.diffusion.adapters.flux import Flux
from vitquant.synthesis.diffusion.adapters.sana_sprint import SanaSprint
from vitquant.synthesis.diffusion.adapters.sd3 import StableDiffusion3
from vitquant.synthesis.diffusion.adapters.sdxl import StableDiffusionXL
from vitquant.synthesis.diffusion.adapters.stable_diffusion import StableDiffusion

ADAPTERS: dict[str, type[PipelineAdapter]] = {
    adapter.pipeline_class: adapter
    for adapter in (StableDiffusion, StableDiffusionXL, StableDiffusion3, Flux, SanaSprint)
}
"""By the name of the pipeline's class in diffusers, which ``model_index.json`` has."""


def adapter_of(pipeline: Any) -> PipelineAdapter:
    """The adapter around a loaded pipeline.

    Raises:
        KeyError: there is none for its class.
        ValueError: the parts of the pipeline do not go together.
    """
    return ADAPTERS[type(pipeline).__name__](pipeline)


def tiny_decoder_of(generator: str) -> str | None:
    """The tiny decoder that goes with a generator on the Hub; None if none is known."""
    found = (adapter.tiny_decoders.get(generator) for adapter in ADAPTERS.values())
    return next((name for name in found if name is not None), None)
