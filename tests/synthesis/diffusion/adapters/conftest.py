"""A small pipeline with random weights of each architecture, of the real classes of diffusers."""

import functools
import json
import string

import diffusers
import pytest
import torch
import transformers

from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.pipeline import load_pipeline

LATENT_SIDE = 16
LENGTH = 40
LETTERS = "!" + string.ascii_lowercase
TOKENS = [*LETTERS, *(f"{c}</w>" for c in LETTERS), "<|startoftext|>", "<|endoftext|>"]
SIZE = len(TOKENS)


def clip_tokenizer(folder, **special):
    """A letter is a token."""
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(TOKENS)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = (str(folder / name) for name in ("vocab.json", "merges.txt"))
    return transformers.CLIPTokenizer(*files, model_max_length=LENGTH, **special)


def clip_encoder(width, projected=False):
    config = transformers.CLIPTextConfig(
        vocab_size=SIZE,
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        bos_token_id=SIZE - 2,
        eos_token_id=SIZE - 1,
        pad_token_id=SIZE - 1,
    )
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return kind(config)


def t5(width):
    """Tokenizer and encoder; a letter is a token, and so are some words."""
    pieces = ["▁", *"abcdefghijklmnopqrstuvwxyz", "▁photo", "▁three"]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((p, -len(p) / 9) for p in pieces)]
    config = transformers.T5Config(
        vocab_size=len(vocab), d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    return transformers.T5Tokenizer(vocab=vocab, extra_ids=0), transformers.T5EncoderModel(config)


def vae(**changes):
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=2 * LATENT_SIDE,
        **changes,
    )


def unet(**changes):
    return diffusers.UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=(2, 2),
        use_linear_projection=True,
        **changes,
    )


BETAS = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}


def stable_diffusion(folder):
    return diffusers.StableDiffusionPipeline(
        vae=vae(),
        text_encoder=clip_encoder(32),
        tokenizer=clip_tokenizer(folder),
        unet=unet(cross_attention_dim=32),
        scheduler=diffusers.EulerDiscreteScheduler(**BETAS),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl(folder):
    return diffusers.StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=clip_encoder(16),
        text_encoder_2=clip_encoder(32, projected=True),
        tokenizer=clip_tokenizer(folder),
        tokenizer_2=clip_tokenizer(folder, pad_token="!"),
        unet=unet(
            cross_attention_dim=48,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        ),
        scheduler=diffusers.EulerAncestralDiscreteScheduler(**BETAS),
        add_watermarker=False,
    )


def sd3(folder, with_t5=True):
    tokenizer_3, text_encoder_3 = t5(64) if with_t5 else (None, None)
    return diffusers.StableDiffusion3Pipeline(
        vae=vae(shift_factor=0.06, scaling_factor=1.5),
        text_encoder=clip_encoder(16, projected=True),
        text_encoder_2=clip_encoder(32, projected=True),
        text_encoder_3=text_encoder_3,
        tokenizer=clip_tokenizer(folder),
        tokenizer_2=clip_tokenizer(folder, pad_token="!"),
        tokenizer_3=tokenizer_3,
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=LATENT_SIDE,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_projection_dim=16,
            joint_attention_dim=64,
            pooled_projection_dim=48,
            pos_embed_max_size=LATENT_SIDE,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=not with_t5
        ),
    )


def flux(folder, guided=False):
    tokenizer_2, text_encoder_2 = t5(32)
    return diffusers.FluxPipeline(
        vae=vae(shift_factor=0.1, scaling_factor=0.4),
        text_encoder=clip_encoder(16),
        text_encoder_2=text_encoder_2,
        tokenizer=clip_tokenizer(folder),
        tokenizer_2=tokenizer_2,
        transformer=diffusers.FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=16,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=guided,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=guided),
    )


def sana_sprint(folder):
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = [chr(c) for c in range(33, 127)]
    tokens = [*special, "▁", "\n", *letters, "ph", "▁a"]
    merges = [("p", "h"), ("▁", "a")]
    config = transformers.Gemma2Config(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
    )
    blocks = {"block_types": ("ResBlock", "EfficientViTBlock"), "block_out_channels": (8, 8)}
    layers = {"qkv_multiscales": ((), (5,)), "layers_per_block": (1, 1)}
    both = {
        f"{side}_{k}": v for side in ("encoder", "decoder") for k, v in (blocks | layers).items()
    }
    return diffusers.SanaSprintPipeline(
        tokenizer=transformers.GemmaTokenizer(
            vocab={token: i for i, token in enumerate(tokens)}, merges=merges
        ),
        text_encoder=transformers.Gemma2Model(config),
        vae=diffusers.AutoencoderDC(
            latent_channels=4,
            attention_head_dim=2,
            downsample_block_type="conv",
            upsample_block_type="interpolate",
            decoder_norm_types="rms_norm",
            decoder_act_fns="silu",
            scaling_factor=0.41407,
            **both,
        ),
        transformer=diffusers.SanaTransformer2DModel(
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=8,
            num_cross_attention_heads=2,
            cross_attention_head_dim=8,
            cross_attention_dim=16,
            caption_channels=16,
            sample_size=LATENT_SIDE,
            qk_norm="rms_norm_across_heads",
            guidance_embeds=True,
        ),
        scheduler=diffusers.SCMScheduler(),
    )


KINDS = {
    "stable-diffusion": stable_diffusion,
    "sdxl": sdxl,
    "sd3": sd3,
    "sd3-without-t5": lambda folder: sd3(folder, with_t5=False),
    "flux": flux,
    "flux-guided": lambda folder: flux(folder, guided=True),
    "sana-sprint": sana_sprint,
}


@pytest.fixture(scope="session", autouse=True)
def small_flux():
    """FluxPipeline's default size is 1,024 pixels, whatever its parts are."""
    begin = diffusers.FluxPipeline.__init__

    @functools.wraps(begin)
    def init(self, *args, **parts):
        begin(self, *args, **parts)
        self.default_sample_size = LATENT_SIDE

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusers.FluxPipeline, "__init__", init)
        yield


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """saved(kind) → the folder of a pipeline; for all tests, so it must not be changed."""
    folders = {}

    def save(kind):
        if kind not in folders:
            torch.manual_seed(0)
            root = tmp_path_factory.mktemp(kind)
            pipeline = KINDS[kind](root / "tokenizer")
            pipeline.save_pretrained(root / "pipeline")
            folders[kind] = root / "pipeline"
        return folders[kind]

    return save


@pytest.fixture(scope="session", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="session")
def parts(kind, saved):
    """The pipeline as diffusers has it, and the generator around it, in double precision."""
    pipeline, identity = load_pipeline(str(saved(kind)), torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, Generator(pipeline, identity, "cpu")
