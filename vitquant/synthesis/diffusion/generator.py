"""From token embeddings and noise to images, in one differentiable step."""

import torch
from torch import Tensor

from vitquant.config.values import PRECISIONS
from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.models.sources.from_miniature import NAMES
from vitquant.synthesis.diffusion.pipeline import (
    DEFAULT,
    GENERATOR,
    LICENSE,
    GeneratorIdentity,
    TextToImagePipeline,
    is_downloaded,
    load_pipeline,
)
from vitquant.synthesis.diffusion.prompt_text import PromptTokenizer


class Generator:
    """A frozen one-step text-to-image pipeline.

    Gradients flow from the images to the token embeddings; nothing of the pipeline is trained.
    Activations are computed again on the way back, which is what lets a batch of 512-pixel images
    fit into a GPU.
    """

    def __init__(
        self,
        pipeline: TextToImagePipeline,
        identity: GeneratorIdentity,
        device: torch.device | str,
    ) -> None:
        self.identity = identity
        self.device = torch.device(device)
        self.prompt_tokenizer = PromptTokenizer(pipeline.tokenizer)
        self._text_encoder = pipeline.text_encoder.to(self.device)
        self._unet = pipeline.unet.to(self.device)
        self._vae = pipeline.vae.to(self.device)
        self._scheduler = pipeline.scheduler
        self._unet.enable_gradient_checkpointing()
        self._vae.enable_gradient_checkpointing()

    @classmethod
    def load(cls, name: str, device: str, dtype: torch.dtype) -> "Generator":
        """See ``load_pipeline``, also for what is raised."""
        return cls(*load_pipeline(name, dtype), device)

    @property
    def dtype(self) -> torch.dtype:
        return self._unet.dtype

    @property
    def image_cost(self) -> int:
        """Parameters times pixels of an image."""
        modules = (self._text_encoder, self._unet, self._vae)
        _, height, width = self.noise_shape
        # The decoder doubles the side between each two of its stages.
        scale = 2 ** (len(self._vae.config.block_out_channels) - 1)
        parameters = sum(p.numel() for module in modules for p in module.parameters())
        return parameters * height * width * scale**2

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the noise that one image is generated from."""
        side = self._unet.config.sample_size
        height, width = (side, side) if isinstance(side, int) else side
        return self._unet.config.in_channels, height, width

    def embeddings(self, ids: Tensor) -> Tensor:
        """(..., D) float32 of the token ids (...) in the text encoder's vocabulary."""
        with torch.no_grad():
            return _full(self._text_encoder.get_input_embeddings()(ids.to(self.device)))

    def encode(self, ids: Tensor, embeddings: Tensor) -> Tensor:
        """The encoded prompts that the U-Net is conditioned on, (N, T, E).

        ids: (N, T), which say where a text ends. embeddings: (N, T, D), in place of the ids' own.
        """
        tokens = self._text_encoder.get_input_embeddings()
        hook = tokens.register_forward_hook(lambda *_: embeddings.to(self.dtype))
        try:
            return self._text_encoder(ids.to(self.device))[0]
        finally:
            hook.remove()

    def generate(self, prompt_embeds: Tensor, noise: Tensor) -> Tensor:
        """Images (N, 3, H, W) float32 from 0 to 1.

        prompt_embeds: (N, T, E) from :meth:`encode`. noise: (N, *noise_shape), standard normal.
        """
        scheduler = self._scheduler
        scheduler.set_timesteps(1, device=self.device)
        time = scheduler.timesteps[0]
        latents = noise.to(self.device, self.dtype) * scheduler.init_noise_sigma
        predicted = self._unet(
            scheduler.scale_model_input(latents, time), time, encoder_hidden_states=prompt_embeds
        ).sample
        latents = scheduler.step(predicted, time, latents).prev_sample.to(self.dtype)
        decoded = self._vae.decode(latents / self._vae.config.scaling_factor).sample
        return (_full(decoded) / 2 + 0.5).clamp(0, 1)


def _full(values: Tensor) -> Tensor:
    """In float32, or double if they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def load_generator(
    name: str | None, model: str, precision: str, device: str, progress: Progress
) -> Generator:
    """Load a generator; its license is printed before it is downloaded.

    Args:
        name: on the Hub, or a folder; None for the one that goes with ``model``.
        model: name of the float model.
        precision: as for training; ``auto`` is bfloat16 on a GPU.

    Raises:
        UserError: it cannot be loaded, or there is no such precision.
    """
    if precision not in PRECISIONS:
        raise UserError(f"--precision: {precision!r} is not one; accepted: {', '.join(PRECISIONS)}")
    name = name or (GENERATOR if model in NAMES else DEFAULT)
    if name == DEFAULT and distributed.is_main() and not is_downloaded(name):
        progress.say(f"downloading {name}; {LICENSE}")
    low = precision == "bfloat16" or (precision == "auto" and device.startswith("cuda"))
    return Generator.load(name, device, torch.bfloat16 if low else torch.float32)
