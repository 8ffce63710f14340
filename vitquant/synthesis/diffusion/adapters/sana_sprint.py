"""SANA-Sprint: Gemma as the text encoder, a linear transformer, and a deep autoencoder."""

import inspect
from typing import Any

import torch
from torch import Tensor

from vitquant.synthesis.diffusion.adapters.base import PipelineAdapter, PromptEmbeds
from vitquant.synthesis.diffusion.prompt_text import TextInput


class SanaSprint(PipelineAdapter):
    """diffusers' ``SanaSprintPipeline``, with the defaults of its ``__call__``.

    Its instruction to the language model stands in front of every text. Texts are in lower case.
    """

    pipeline_class = "SanaSprintPipeline"

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        pipeline.tokenizer.padding_side = "right"
        defaults = inspect.signature(pipeline.__call__).parameters
        self._guidance = float(defaults["guidance_scale"].default)
        self._intermediate = defaults["intermediate_timesteps"].default
        self._kept = int(defaults["max_sequence_length"].default)
        self._instruction = "\n".join(defaults["complex_human_instruction"].default)

    @property
    def text_inputs(self) -> list[TextInput]:
        tokenizer = self.pipeline.tokenizer
        length = len(tokenizer.encode(self._instruction)) + self._kept - 2
        return [TextInput(tokenizer, length, before=self._instruction, lower=True)]

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        config = self.pipeline.transformer.config
        return config.in_channels, config.sample_size, config.sample_size

    @property
    def upscaling(self) -> int:
        return int(2 ** (len(self.pipeline.vae.config.encoder_block_out_channels) - 1))

    def encode(self, ids: Tensor, embeddings: Tensor) -> PromptEmbeds:
        mask = (ids != self.pipeline.tokenizer.pad_token_id).long()
        sequence = self.pipeline.text_encoder(inputs_embeds=embeddings, attention_mask=mask)[0]
        # The first token, and the end, where the text stands.
        kept = [0, *range(1 - self._kept, 0)]
        return PromptEmbeds(sequence[:, kept], mask=mask[:, kept])

    def set_timesteps(self, steps: int) -> None:
        self.pipeline.scheduler.set_timesteps(
            steps,
            device=self.network.device,
            intermediate_timesteps=self._intermediate if steps == 2 else None,
        )

    def denoise(self, embeds: PromptEmbeds, noise: Tensor, steps: int) -> Tensor:
        scheduler = self.pipeline.scheduler
        self.set_timesteps(steps)
        scheduler.set_begin_index(0)
        extra, scale = self.step_arguments(noise), scheduler.config.sigma_data
        # As the pipeline does, float32 between the steps.
        latents = noise.to(torch.promote_types(noise.dtype, torch.float32)) * scale
        for time in scheduler.timesteps[:-1]:
            predicted = self.predict(latents / scale, time, embeds).to(latents.dtype) * scale
            latents, clean = scheduler.step(predicted, time, latents, **extra, return_dict=False)
        return (clean / scale).to(self.network.dtype)

    def predict(self, latents: Tensor, time: Tensor, embeds: PromptEmbeds) -> Tensor:
        """The velocity of TrigFlow, from a network that was trained for flow matching.

        Chen et al. (arXiv 2503.09641), section 3.1.
        """
        transformer = self.pipeline.transformer
        dtype = transformer.dtype
        flow = (time.sin() / (time.cos() + time.sin())).expand(len(latents))
        t = flow.view(-1, 1, 1, 1)
        norm = (t**2 + (1 - t) ** 2).sqrt()
        scaled = latents * norm
        guidance = torch.full_like(flow, self._guidance, dtype=dtype)
        predicted = transformer(
            scaled.to(dtype),
            encoder_hidden_states=embeds.sequence.to(dtype),
            encoder_attention_mask=embeds.mask,
            guidance=guidance * transformer.config.guidance_embeds_scale,
            timestep=flow,
        ).sample
        velocity: Tensor = ((1 - 2 * t) * scaled + (1 - 2 * t + 2 * t**2) * predicted) / norm
        return velocity
