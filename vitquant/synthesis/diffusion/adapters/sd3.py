"""Stable Diffusion 3 and 3.5: two CLIP text encoders, T5 or not, and a transformer."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.synthesis.diffusion.adapters.base import PipelineAdapter, PromptEmbeds
from vitquant.synthesis.diffusion.adapters.sdxl import TwoTextEncoders
from vitquant.synthesis.diffusion.prompt_text import TextInput

_T5_LENGTH = 256


class StableDiffusion3(PipelineAdapter):
    """diffusers' ``StableDiffusion3Pipeline``.

    Embeddings are learned for both CLIP encoders; T5, where there is one, reads the text as it
    stands.
    """

    pipeline_class = "StableDiffusion3Pipeline"
    tokenizers = ("tokenizer", "tokenizer_2", "tokenizer_3")
    text_encoders = ("text_encoder", "text_encoder_2", "text_encoder_3")
    optional = ("tokenizer_3", "text_encoder_3")
    left_out: ClassVar[Mapping[str, Any]] = {"image_encoder": None, "feature_extractor": None}
    tiny_decoders: ClassVar[Mapping[str, str]] = {
        "stabilityai/stable-diffusion-3-medium-diffusers": "madebyollin/taesd3",
        "stabilityai/stable-diffusion-3.5-medium": "madebyollin/taesd3",
        "stabilityai/stable-diffusion-3.5-large-turbo": "madebyollin/taesd3",
    }

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self._texts = TwoTextEncoders(pipeline)

    @property
    def text_inputs(self) -> list[TextInput]:
        pipeline = self.pipeline
        inputs = [TextInput(pipeline.tokenizer, pipeline.tokenizer.model_max_length)]
        if pipeline.text_encoder_3 is not None:
            inputs.append(TextInput(pipeline.tokenizer_3, _T5_LENGTH))
        return inputs

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        config = self.pipeline.transformer.config
        return config.in_channels, config.sample_size, config.sample_size

    def embeddings(self, ids: Tensor) -> Tensor:
        return self._texts.embeddings(ids)

    def encode(self, ids: Tensor, embeddings: Tensor) -> PromptEmbeds:
        length = self.text_inputs[0].length
        (first, pooled), (second, pooled_2) = self._texts.encode(
            ids[:, :length], embeddings[:, :length]
        )
        last = self._t5(ids[:, length:], first)
        clip = torch.cat([first, second], -1)
        clip = F.pad(clip, (0, last.shape[-1] - clip.shape[-1]))
        return PromptEmbeds(torch.cat([clip, last], 1), torch.cat([pooled, pooled_2], -1))

    def _t5(self, ids: Tensor, like: Tensor) -> Tensor:
        """(N, 256, E), zeros if there is no T5."""
        if self.pipeline.text_encoder_3 is None:
            width = self.pipeline.transformer.config.joint_attention_dim
            return like.new_zeros(len(ids), _T5_LENGTH, width)
        encoded: Tensor = self.pipeline.text_encoder_3(ids)[0]
        return encoded

    def set_timesteps(self, steps: int) -> None:
        scheduler, config = self.pipeline.scheduler, self.pipeline.transformer.config
        more = {}
        if scheduler.config.get("use_dynamic_shifting"):
            tokens = (config.sample_size // config.patch_size) ** 2
            more["mu"] = shift(scheduler, tokens, most=1.16)
        scheduler.set_timesteps(steps, device=self.network.device, **more)

    def predict(self, latents: Tensor, time: Tensor, embeds: PromptEmbeds) -> Tensor:
        predicted: Tensor = self.pipeline.transformer(
            hidden_states=latents,
            timestep=time.expand(len(latents)),
            encoder_hidden_states=embeds.sequence,
            pooled_projections=embeds.pooled,
        ).sample
        return predicted


def shift(scheduler: Any, tokens: int, most: float) -> float:
    """How far a flow-matching scheduler moves its times towards noise, by the image's tokens.

    Esser et al. (arXiv 2403.03206), section 5.3.2, linear in the tokens as in diffusers.
    """
    config = scheduler.config
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    least, most = config.get("base_shift", 0.5), config.get("max_shift", most)
    slope = (most - least) / (high - low)
    return float(tokens * slope + (least - slope * low))
