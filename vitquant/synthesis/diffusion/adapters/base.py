"""What an architecture of text-to-image pipeline has to say."""

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from vitquant.synthesis.diffusion.prompt_text import TextInput


@dataclass(frozen=True)
class PromptEmbeds:
    """Encoded prompts, a row for each.

    sequence: (N, T, E), a vector for each token. pooled: (N, P), one for the whole text, and mask:
    (N, T), 1 where a token counts, for the architectures that take them.
    """

    sequence: Tensor
    pooled: Tensor | None = None
    mask: Tensor | None = None

    def __getitem__(self, rows: slice) -> "PromptEmbeds":
        pooled = None if self.pooled is None else self.pooled[rows]
        mask = None if self.mask is None else self.mask[rows]
        return PromptEmbeds(self.sequence[rows], pooled, mask)

    def __len__(self) -> int:
        return len(self.sequence)

    @classmethod
    def cat(cls, parts: Sequence["PromptEmbeds"]) -> Self:
        """The rows of all parts, one behind the other; the parts are of one generator."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        mask = [part.mask for part in parts if part.mask is not None]
        return cls(
            torch.cat([part.sequence for part in parts]),
            torch.cat(pooled) if pooled else None,
            torch.cat(mask) if mask else None,
        )


class PipelineAdapter(ABC):
    """A pipeline of one architecture, in three differentiable steps: encode, denoise, decode.

    Each has to do what the pipeline's own ``__call__`` does without guidance; see its source in
    diffusers. ``ids`` of a prompt are those of all its text inputs, one behind the other.
    Embeddings are learned for the first text input alone. Where several text encoders read it,
    the embedding of a token is the concatenation of its embeddings in all of them.

    pipeline_class: in diffusers. tokenizers, text_encoders, denoiser: names of the parts.
    optional: parts that a pipeline may lack. left_out: arguments that keep other parts from being
    loaded. tiny_decoders: the ``AutoencoderTiny`` that goes with a generator on the Hub.
    """

    pipeline_class: ClassVar[str]
    tokenizers: ClassVar[tuple[str, ...]] = ("tokenizer",)
    text_encoders: ClassVar[tuple[str, ...]] = ("text_encoder",)
    denoiser: ClassVar[str] = "transformer"
    optional: ClassVar[tuple[str, ...]] = ()
    left_out: ClassVar[Mapping[str, Any]] = {}
    tiny_decoders: ClassVar[Mapping[str, str]] = {}

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    @classmethod
    def weights(cls) -> tuple[str, ...]:
        """Names of the parts that are networks."""
        return (*cls.text_encoders, cls.denoiser, "vae")

    @classmethod
    def parts(cls) -> tuple[str, ...]:
        """Names of all parts that are loaded."""
        return (*cls.tokenizers, *cls.weights(), "scheduler")

    def networks(self) -> dict[str, Any]:
        """The parts that are networks, by name, without those that the pipeline lacks."""
        found = {name: getattr(self.pipeline, name) for name in self.weights()}
        return {name: part for name, part in found.items() if part is not None}

    @property
    def network(self) -> Any:
        """The one that denoises."""
        return getattr(self.pipeline, self.denoiser)

    @property
    @abstractmethod
    def text_inputs(self) -> list[TextInput]:
        """How texts become ids; the first is the one that is learned for."""

    @property
    @abstractmethod
    def noise_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the noise that one image is generated from."""

    @property
    def upscaling(self) -> int:
        """Pixels of an image for each of the noise, along a side."""
        # The decoder doubles the side between each two of its stages.
        return int(2 ** (len(self.pipeline.vae.config.block_out_channels) - 1))

    def embeddings(self, ids: Tensor) -> Tensor:
        """(..., D) of the token ids (...) in the vocabulary that is learned for."""
        return embed(self.pipeline.text_encoder, ids)

    @abstractmethod
    def encode(self, ids: Tensor, embeddings: Tensor) -> PromptEmbeds:
        """ids: (N, T), of all text inputs. embeddings: (N, T, D), of which those of the first text
        input are used."""

    @abstractmethod
    def set_timesteps(self, steps: int) -> None:
        """Set up the scheduler; raises whatever it does."""

    def denoise(self, embeds: PromptEmbeds, noise: Tensor, steps: int) -> Tensor:
        """Latents (N, C, H, W) from standard normal noise of that shape."""
        scheduler = self.pipeline.scheduler
        self.set_timesteps(steps)
        latents, extra = self.begin(noise), self.step_arguments(noise)
        for time in scheduler.timesteps:
            predicted = self.predict(latents, time, embeds)
            step = scheduler.step(predicted, time, latents, **extra)
            latents = step.prev_sample.to(predicted.dtype)
        return self.end(latents)

    def begin(self, noise: Tensor) -> Tensor:
        """What denoising starts from."""
        return noise

    @abstractmethod
    def predict(self, latents: Tensor, time: Tensor, embeds: PromptEmbeds) -> Tensor:
        """What the network says of the latents at a time."""

    def end(self, latents: Tensor) -> Tensor:
        """Latents (N, C, H, W) from what denoising ended with."""
        return latents

    def step_arguments(self, noise: Tensor) -> dict[str, Any]:
        """Where the scheduler's step adds noise, each image's depends on its first noise alone."""
        if "generator" not in inspect.signature(self.pipeline.scheduler.step).parameters:
            return {}
        return {"generator": [torch.Generator().manual_seed(_seed(image)) for image in noise]}

    def decode(self, decoder: Any, latents: Tensor) -> Tensor:
        """Images (N, 3, H, W) from -1 to 1, by the pipeline's decoder or a tiny one."""
        config = decoder.config
        shift = getattr(config, "shift_factor", None) or 0.0
        decoded: Tensor = decoder.decode(latents / config.scaling_factor + shift).sample
        return decoded


def embed(encoder: Any, ids: Tensor) -> Tensor:
    """(..., D) of the ids (...) in an encoder's own vocabulary; of a larger id, anything."""
    table = encoder.get_input_embeddings()
    embedded: Tensor = table(ids.clamp_max(table.num_embeddings - 1))
    return embedded


def encode_clip(encoder: Any, ids: Tensor, embeddings: Tensor, **options: Any) -> Any:
    """What a CLIP text encoder returns with these embeddings in place of the ids' own.

    It takes no embeddings as an argument: it needs the ids to know where a text ends.
    """
    hook = encoder.get_input_embeddings().register_forward_hook(lambda *_: embeddings)
    try:
        return encoder(ids, **options)
    finally:
        hook.remove()


def sides(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) as a configuration has it."""
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


def _seed(image: Tensor) -> int:
    if image.is_meta:  # costs are counted on tensors without values
        return 0
    digest = hashlib.sha256(image.detach().float().cpu().contiguous().numpy().tobytes()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
