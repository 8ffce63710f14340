"""The parts of the miniature generator: those of Stable Diffusion, made small."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from tokenizers import pre_tokenizers
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


LENGTH = 24
_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_ENDS = "</w>"


def write_tokenizer(texts: Iterable[str], folder: Path) -> None:
    """Write a tokenizer, to which each word of `texts` is one token, for `CLIPTokenizer` to read.

    Other words fall apart into letters, and other signs into bytes, so that any text can be read.
    """
    merges = _merges(Counter(word for text in texts for word in text.split()))
    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    # CLIP's order: bytes, bytes at the end of a word, what merges make of them, the special ones.
    tokens = [*signs, *(sign + _WORD_ENDS for sign in signs)]
    tokens += [left + right for left, right in merges] + [_START, _END]
    special = {"bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": _END}
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "do_lower_case": True,
        "add_prefix_space": False,
        "errors": "replace",
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "vocab.json", {token: number for number, token in enumerate(tokens)})
    _write_json(folder / "special_tokens_map.json", special)
    _write_json(folder / "tokenizer_config.json", config | special)
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _merges(words: Counter[str]) -> list[tuple[str, str]]:
    """The pairs that byte pair encoding joins, the most frequent first, until words are whole.

    Of the equally frequent, the first in the alphabet. The trainer of `tokenizers` takes any of
    them, so that no two runs would number the tokens alike.
    """
    split = {word: [*word[:-1], word[-1] + _WORD_ENDS] for word in words}
    merges = []
    while pairs := _pairs(split, words):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = {word: _joined(pieces, best) for word, pieces in split.items()}
    return merges


def _pairs(split: dict[str, list[str]], words: Counter[str]) -> Counter[tuple[str, str]]:
    """How often each two pieces stand side by side."""
    found: Counter[tuple[str, str]] = Counter()
    for word, pieces in split.items():
        for pair in pairwise(pieces):
            found[pair] += words[word]
    return found


def _joined(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """The pieces with each occurrence of the pair as one."""
    result: list[str] = []
    for piece in pieces:
        if result and (result[-1], piece) == pair:
            result[-1] += piece
        else:
            result.append(piece)
    return result


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
