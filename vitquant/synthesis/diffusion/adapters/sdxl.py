"""SDXL, such as SDXL-Turbo: two CLIP text encoders with one vocabulary, and a U-Net."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from vitquant.synthesis.diffusion.adapters.base import PromptEmbeds, embed, encode_clip
from vitquant.synthesis.diffusion.adapters.stable_diffusion import StableDiffusion


class TwoTextEncoders:
    """The two CLIP text encoders of SDXL and Stable Diffusion 3, for ids of the first tokenizer.

    Their vocabularies are the same but for the token that fills up a text.
    """

    def __init__(self, pipeline: Any) -> None:
        self._encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
        self._end = pipeline.tokenizer.eos_token_id
        self._pad = pipeline.tokenizer_2.pad_token_id
        if pipeline.tokenizer.get_vocab() != pipeline.tokenizer_2.get_vocab():
            raise ValueError("its two CLIP tokenizers have different vocabularies")

    def embeddings(self, ids: Tensor) -> Tensor:
        """(..., D1 + D2), one encoder's behind the other's."""
        return torch.cat([embed(encoder, ids) for encoder in self._encoders], -1)

    def encode(self, ids: Tensor, embeddings: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of each: the last but one hidden state (N, T, E), and the first of its outputs."""
        widths = [encoder.get_input_embeddings().embedding_dim for encoder in self._encoders]
        first, second = embeddings.split(widths, -1)
        ends = ids == self._end
        filling = ends.cumsum(-1) - ends.long() > 0
        padded = ids.masked_fill(filling, self._pad)
        second = torch.where(filling.unsqueeze(-1), embed(self._encoders[1], padded), second)
        found = []
        for encoder, own, given in zip(self._encoders, (ids, padded), (first, second), strict=True):
            output = encode_clip(encoder, own, given, output_hidden_states=True)
            found.append((output.hidden_states[-2], output[0]))
        return found


class StableDiffusionXL(StableDiffusion):
    """diffusers' ``StableDiffusionXLPipeline``. Embeddings are learned for both encoders."""

    pipeline_class = "StableDiffusionXLPipeline"
    tokenizers = ("tokenizer", "tokenizer_2")
    text_encoders = ("text_encoder", "text_encoder_2")
    left_out: ClassVar[Mapping[str, Any]] = {
        "image_encoder": None,
        "feature_extractor": None,
        "add_watermarker": False,
    }
    tiny_decoders: ClassVar[Mapping[str, str]] = {"stabilityai/sdxl-turbo": "madebyollin/taesdxl"}

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self._texts = TwoTextEncoders(pipeline)

    def embeddings(self, ids: Tensor) -> Tensor:
        return self._texts.embeddings(ids)

    def encode(self, ids: Tensor, embeddings: Tensor) -> PromptEmbeds:
        (first, _), (second, pooled) = self._texts.encode(ids, embeddings)
        return PromptEmbeds(torch.cat([first, second], -1), pooled)

    def conditions(self, embeds: PromptEmbeds) -> dict[str, Any]:
        """The pooled text, and that the image has its full size and is not cropped."""
        _, height, width = self.noise_shape
        size = (height * self.upscaling, width * self.upscaling)
        times = torch.tensor([[*size, 0, 0, *size]]).to(embeds.sequence)
        times = times.expand(len(embeds), -1)
        return {"added_cond_kwargs": {"text_embeds": embeds.pooled, "time_ids": times}}

    def decode(self, decoder: Any, latents: Tensor) -> Tensor:
        config = decoder.config
        mean, deviation = (
            getattr(config, "latents_mean", None),
            getattr(config, "latents_std", None),
        )
        if mean is not None and deviation is not None:
            shape = (1, -1, 1, 1)
            latents = latents * latents.new_tensor(deviation).view(shape)
            latents = latents + latents.new_tensor(mean).view(shape) * config.scaling_factor
        return super().decode(decoder, latents)
