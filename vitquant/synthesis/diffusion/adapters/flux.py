"""FLUX.1, such as schnell: T5 for the tokens, CLIP for the whole text, and a transformer."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vitquant.synthesis.diffusion.adapters.base import PipelineAdapter, PromptEmbeds, embed
from vitquant.synthesis.diffusion.adapters.sd3 import shift
from vitquant.synthesis.diffusion.prompt_text import TextInput

# The pipeline's default, for models that are told how strong the guidance is.
_GUIDANCE = 3.5


class Flux(PipelineAdapter):
    """diffusers' ``FluxPipeline``.

    Embeddings are learned for T5; CLIP, of which the transformer sees one vector for the whole
    text, reads the text as it stands.
    """

    pipeline_class = "FluxPipeline"
    tokenizers = ("tokenizer", "tokenizer_2")
    text_encoders = ("text_encoder", "text_encoder_2")
    left_out: ClassVar[Mapping[str, Any]] = {"image_encoder": None, "feature_extractor": None}
    tiny_decoders: ClassVar[Mapping[str, str]] = {
        "black-forest-labs/FLUX.1-schnell": "madebyollin/taef1",
        "black-forest-labs/FLUX.1-dev": "madebyollin/taef1",
    }

    @property
    def text_inputs(self) -> list[TextInput]:
        pipeline = self.pipeline
        # schnell, which takes no guidance, was distilled with texts of 256 tokens.
        length = 512 if pipeline.transformer.config.guidance_embeds else 256
        return [
            TextInput(pipeline.tokenizer_2, length),
            TextInput(pipeline.tokenizer, pipeline.tokenizer.model_max_length),
        ]

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        side = self.pipeline.default_sample_size
        return self.pipeline.transformer.config.in_channels // 4, side, side

    def embeddings(self, ids: Tensor) -> Tensor:
        return embed(self.pipeline.text_encoder_2, ids)

    def encode(self, ids: Tensor, embeddings: Tensor) -> PromptEmbeds:
        length = self.text_inputs[0].length
        sequence = self.pipeline.text_encoder_2(inputs_embeds=embeddings[:, :length])[0]
        return PromptEmbeds(sequence, self.pipeline.text_encoder(ids[:, length:]).pooler_output)

    def set_timesteps(self, steps: int) -> None:
        scheduler = self.pipeline.scheduler
        sigmas: Any = np.linspace(1.0, 1 / steps, steps)
        if scheduler.config.get("use_flow_sigmas"):
            sigmas = None
        _, height, width = self.noise_shape
        mu = shift(scheduler, height * width // 4, most=1.15)
        scheduler.set_timesteps(steps, device=self.network.device, sigmas=sigmas, mu=mu)

    def begin(self, noise: Tensor) -> Tensor:
        """(N, H/2 * W/2, 4C): each two by two values are a token."""
        patches = noise.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
        return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)

    def end(self, latents: Tensor) -> Tensor:
        channels, height, width = self.noise_shape
        patches = latents.unflatten(2, (channels, 2, 2)).unflatten(1, (height // 2, width // 2))
        return patches.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)

    def predict(self, latents: Tensor, time: Tensor, embeds: PromptEmbeds) -> Tensor:
        transformer = self.pipeline.transformer
        guidance = None
        if transformer.config.guidance_embeds:
            guidance = torch.full((len(latents),), _GUIDANCE, device=latents.device)
        predicted: Tensor = transformer(
            hidden_states=latents,
            timestep=time.expand(len(latents)).to(latents.dtype) / 1000,
            guidance=guidance,
            pooled_projections=embeds.pooled,
            encoder_hidden_states=embeds.sequence,
            txt_ids=latents.new_zeros(embeds.sequence.shape[1], 3),
            img_ids=self._places(latents),
        ).sample
        return predicted

    def _places(self, like: Tensor) -> Tensor:
        """(H/2 * W/2, 3): zero, row and column of each token."""
        _, height, width = self.noise_shape
        rows, columns = torch.arange(height // 2), torch.arange(width // 2)
        grid = torch.stack(torch.meshgrid(torch.zeros(1).long(), rows, columns, indexing="ij"), -1)
        return grid.flatten(0, 2).to(like)
