"""A small decoder of the same latents, through which gradients are cheap."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vitquant.core.errors import UserError, first_line
from vitquant.core.hashing import rounded_sha256
from vitquant.synthesis.diffusion.adapters.base import PipelineAdapter

FULL = "full"
"""``--decoder`` for the pipeline's own."""
ACCEPTED = (
    f"an AutoencoderTiny on the Hub or in a folder, such as madebyollin/taesd, or {FULL} for the "
    f"generator's own"
)


@dataclass(frozen=True)
class TinyDecoder:
    """diffusers' ``AutoencoderTiny``, frozen.

    name: as the user wrote it. sha256: of its decoder's weights, rounded to bfloat16.
    """

    network: Any
    name: str
    sha256: str

    def check(self, adapter: PipelineAdapter) -> None:
        """Raises UserError unless it makes images of the pipeline's size from its latents."""
        config = self.network.config
        own = (config.latent_channels, 2 ** (len(config.decoder_block_out_channels) - 1))
        asked = (adapter.noise_shape[0], adapter.upscaling)
        if own != asked:
            raise UserError(
                f"--decoder: {self.name} enlarges {own[0]} channels {own[1]} times, and the "
                f"generator has {asked[0]} and {asked[1]}; {ACCEPTED} are accepted"
            )


def load_tiny_decoder(name: str, dtype: torch.dtype) -> TinyDecoder:
    """A frozen tiny decoder on the CPU, from safetensors alone.

    Args:
        name: of a repository on the Hub, or a folder.
        dtype: of the weights.

    Raises:
        UserError: it is not there, or is something else.
    """
    import diffusers

    local = Path(name).is_dir()
    if not local and (name.count("/") != 1 or name.startswith((".", "/", "~"))):
        raise UserError(f"--decoder: there is no folder {name!r}; accepted: {ACCEPTED}")
    try:
        with warnings.catch_warnings():
            # diffusers passes options on that huggingface_hub no longer knows.
            warnings.simplefilter("ignore", UserWarning)
            config = diffusers.AutoencoderTiny.load_config(name, local_files_only=local)
            if config.get("_class_name") != "AutoencoderTiny":
                raise ValueError(f"its class is {config.get('_class_name')}")
            network = diffusers.AutoencoderTiny.from_pretrained(
                name, use_safetensors=True, local_files_only=local
            )
    except Exception as error:  # whatever the libraries raise over a name or a file
        raise UserError(
            f"--decoder: {name} could not be loaded ({first_line(error)}); accepted: {ACCEPTED}"
        ) from error
    network.to(dtype).eval().requires_grad_(False)
    network.enable_gradient_checkpointing()
    return TinyDecoder(network, name, rounded_sha256(network.decoder.state_dict()))
