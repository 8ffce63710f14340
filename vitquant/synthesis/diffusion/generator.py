"""From token embeddings and noise to images, differentiable."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vitquant.config.values import PRECISIONS
from vitquant.core import distributed
from vitquant.core.errors import UserError, first_line
from vitquant.core.progress import Progress
from vitquant.models.sources.from_miniature import NAMES
from vitquant.synthesis.diffusion.adapters.base import PromptEmbeds
from vitquant.synthesis.diffusion.adapters.registry import adapter_of, tiny_decoder_of
from vitquant.synthesis.diffusion.adapters.tiny_decoder import (
    FULL,
    TinyDecoder,
    load_tiny_decoder,
)
from vitquant.synthesis.diffusion.pipeline import (
    DEFAULT,
    GENERATOR,
    LICENSE,
    GeneratorIdentity,
    is_downloaded,
    load_pipeline,
)
from vitquant.synthesis.diffusion.prompt_text import PromptTokenizer


class Generator:
    """A frozen text-to-image pipeline.

    Gradients flow from the images to the token embeddings; nothing of the pipeline is trained.
    Activations are computed again on the way back, which is what lets a batch of 512-pixel images
    fit into a GPU.
    """

    def __init__(
        self,
        pipeline: Any,
        identity: GeneratorIdentity,
        device: torch.device | str,
        decoder: TinyDecoder | None = None,
        steps: int = 1,
    ) -> None:
        """decoder: what gradients pass through, in place of the pipeline's own. steps: that an
        image is drawn in.

        Raises:
            UserError: the decoder is for other latents, or the scheduler takes no such steps.
        """
        self._adapter = adapter_of(pipeline)
        self.identity = replace(identity, steps=steps)
        if decoder is not None:
            decoder.check(self._adapter)
            about = {"name": decoder.name, "sha256": decoder.sha256}
            self.identity = replace(self.identity, decoder=about)
        self.device = torch.device(device)
        self.prompt_tokenizer = PromptTokenizer(self._adapter.text_inputs)
        self._vae = pipeline.vae
        self._tiny = self._vae if decoder is None else decoder.network.to(self.device)
        for part in self._adapter.networks().values():
            part.to(self.device)
        for part in (self._adapter.network, self._vae):
            if part._supports_gradient_checkpointing:
                part.enable_gradient_checkpointing()
        self._check_steps()

    @classmethod
    def load(cls, name: str, device: str, dtype: torch.dtype) -> "Generator":
        """See ``load_pipeline``, also for what is raised."""
        return cls(*load_pipeline(name, dtype), device)

    def _check_steps(self) -> None:
        steps = self.identity.steps
        try:
            for count in {1, steps}:
                self._adapter.set_timesteps(count)
        except Exception as error:  # whatever the scheduler raises
            raise UserError(
                f"--generator-steps: the scheduler of {self.identity.name} does not take {steps} "
                f"({first_line(error)}); another number or another --generator is accepted"
            ) from error

    @property
    def dtype(self) -> torch.dtype:
        return self._adapter.network.dtype

    @property
    def image_cost(self) -> int:
        """Parameters times pixels of an image."""
        _, height, width = self.noise_shape
        networks = self._adapter.networks().values()
        parameters = sum(p.numel() for network in networks for p in network.parameters())
        return parameters * height * width * self._adapter.upscaling**2

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the noise that one image is generated from."""
        return self._adapter.noise_shape

    def embeddings(self, ids: Tensor) -> Tensor:
        """(..., D) float32 of the token ids (...) in the vocabulary that is learned for."""
        with torch.no_grad():
            return _full(self._adapter.embeddings(ids.to(self.device)))

    def encode(self, ids: Tensor, embeddings: Tensor) -> PromptEmbeds:
        """The encoded prompts that generation is conditioned on, N of them.

        ids: (N, T), which say where a text ends, and what further text encoders read.
        embeddings: (N, T, D), in place of the ids' own.
        """
        return self._adapter.encode(ids.to(self.device), embeddings.to(self.dtype))

    def generate(self, prompt_embeds: PromptEmbeds, noise: Tensor) -> Tensor:
        """Images (N, 3, H, W) float32 from 0 to 1.

        Where gradients are asked for, one step is taken, and a tiny decoder is used if there is
        one. Without gradients the image is drawn as well as the pipeline can: in all its steps,
        with its own decoder.

        prompt_embeds: from :meth:`encode`. noise: (N, *noise_shape), standard normal.
        """
        learns = torch.is_grad_enabled() and prompt_embeds.sequence.requires_grad
        steps, decoder = (1, self._tiny) if learns else (self.identity.steps, self._vae)
        latents = self._adapter.denoise(prompt_embeds, noise.to(self.device, self.dtype), steps)
        return (_full(self._adapter.decode(decoder, latents)) / 2 + 0.5).clamp(0, 1)


def _full(values: Tensor) -> Tensor:
    """In float32, or double if they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def load_generator(
    name: str | None,
    model: str,
    precision: str,
    device: str,
    progress: Progress,
    *,
    decoder: str | None = FULL,
    steps: int = 1,
) -> Generator:
    """Load a generator; where its license is, is printed before it is downloaded. A collective.

    Args:
        name: on the Hub, or a folder; None for the one that goes with ``model``.
        model: name of the float model.
        precision: as for training; ``auto`` is bfloat16 on a GPU.
        decoder: a tiny decoder for gradients, on the Hub or a folder; ``full`` for none, None for
            the one that goes with the generator. If that cannot be loaded, a warning says so.
        steps: that an image is drawn in.

    Raises:
        UserError: something cannot be loaded, or there is no such precision.
    """
    if precision not in PRECISIONS:
        raise UserError(f"--precision: {precision!r} is not one; accepted: {', '.join(PRECISIONS)}")
    name = name or (GENERATOR if model in NAMES else DEFAULT)
    if distributed.is_main() and not is_downloaded(name) and name.count("/") == 1:
        terms = LICENSE if name == DEFAULT else f"its license is at https://huggingface.co/{name}"
        progress.say(f"downloading {name}; {terms}")
    low = precision == "bfloat16" or (precision == "auto" and device.startswith("cuda"))
    dtype = torch.bfloat16 if low else torch.float32
    pipeline, identity = load_pipeline(name, dtype)
    return Generator(pipeline, identity, device, _decoder(decoder, name, dtype, progress), steps)


def _decoder(
    decoder: str | None, generator: str, dtype: torch.dtype, progress: Progress
) -> TinyDecoder | None:
    """The tiny decoder, the same in all processes."""
    if decoder is not None:
        return None if decoder == FULL else load_tiny_decoder(decoder, dtype)
    usual = tiny_decoder_of(generator)
    if usual is None:
        return None
    found = None
    if distributed.is_main():
        try:
            found = load_tiny_decoder(usual, dtype)
        except UserError as error:
            progress.warn(f"{error}; without it, gradients pass through the full decoder")
    if not distributed.broadcast_object(found is not None):
        return None
    return found or load_tiny_decoder(usual, dtype)
