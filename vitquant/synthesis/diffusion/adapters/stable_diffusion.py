"""Stable Diffusion 1 and 2, such as SD-Turbo: one CLIP text encoder and a U-Net."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from vitquant.synthesis.diffusion.adapters.base import (
    PipelineAdapter,
    PromptEmbeds,
    encode_clip,
    sides,
)
from vitquant.synthesis.diffusion.prompt_text import TextInput


class StableDiffusion(PipelineAdapter):
    """diffusers' ``StableDiffusionPipeline``."""

    pipeline_class = "StableDiffusionPipeline"
    denoiser = "unet"
    left_out: ClassVar[Mapping[str, Any]] = {
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    tiny_decoders: ClassVar[Mapping[str, str]] = {"stabilityai/sd-turbo": "madebyollin/taesd"}

    @property
    def text_inputs(self) -> list[TextInput]:
        tokenizer = self.pipeline.tokenizer
        return [TextInput(tokenizer, tokenizer.model_max_length)]

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        config = self.pipeline.unet.config
        return (config.in_channels, *sides(config.sample_size))

    def encode(self, ids: Tensor, embeddings: Tensor) -> PromptEmbeds:
        return PromptEmbeds(encode_clip(self.pipeline.text_encoder, ids, embeddings)[0])

    def set_timesteps(self, steps: int) -> None:
        self.pipeline.scheduler.set_timesteps(steps, device=self.network.device)

    def begin(self, noise: Tensor) -> Tensor:
        started: Tensor = noise * self.pipeline.scheduler.init_noise_sigma
        return started

    def predict(self, latents: Tensor, time: Tensor, embeds: PromptEmbeds) -> Tensor:
        predicted: Tensor = self.pipeline.unet(
            self.pipeline.scheduler.scale_model_input(latents, time),
            time,
            encoder_hidden_states=embeds.sequence,
            **self.conditions(embeds),
        ).sample
        return predicted

    def conditions(self, embeds: PromptEmbeds) -> dict[str, Any]:
        """Further arguments of the U-Net."""
        return {}
