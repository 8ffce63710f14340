"""The parts of the miniature generator: those of Stable Diffusion, made small."""

from __future__ import annotations

from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from vitquant.data.sources.digits import SIDE

CHANNELS = 4
LATENT_SIDE = 8
_TEXT_WIDTH = 64


def untrained(tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    """All parts in one pipeline, with random weights from torch's global generator."""
    return StableDiffusionPipeline(
        tokenizer=tokenizer,
        text_encoder=_text_encoder(tokenizer),
        unet=_unet(),
        vae=_autoencoder(),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """From tokens (N, T) to (N, T, 64)."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=_TEXT_WIDTH,
        intermediate_size=2 * _TEXT_WIDTH,
        projection_dim=_TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def _unet() -> UNet2DConditionModel:
    """From latents (N, 4, 8, 8), a time and an encoded text (N, T, 64) to latents."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        block_out_channels=(32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=_TEXT_WIDTH,
        # Despite the name, the number of heads.
        attention_head_dim=(2, 4),
    )


def _autoencoder() -> AutoencoderKL:
    """Between images (N, 3, 32, 32) in [-1, 1] and latents (N, 4, 8, 8)."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 16, 32),
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=SIDE,
        # Training leaves latents with a spread near 1, so they need no other scale.
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def _scheduler() -> EulerDiscreteScheduler:
    """SD-Turbo's, save that the U-Net gives the latents themselves, not the noise.

    From pure noise, an error in the noise would be magnified by its standard deviation, 14.6.
    """
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="trailing",
        prediction_type="sample",
        steps_offset=1,
    )
