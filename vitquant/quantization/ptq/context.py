"""What a method works on."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from vitquant.config.quantize import QuantizeSettings
from vitquant.core import distributed
from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource
from vitquant.data.loader import load_batches
from vitquant.models.model import Model
from vitquant.quantization.graph.observe import ActivationSamples, observe
from vitquant.quantization.graph.points import QuantizationPoints
from vitquant.quantization.training.state import TrainingState
from vitquant.quantization.transforms.folding import Fold, find_folds


@dataclass
class PTQContext:
    """A float model, calibration images, and what to do with them.

    history: one entry for each logged step; a method that trains appends to it. state: where a
    method that can go on after an interruption keeps what that takes; None where nobody asked.
    """

    model: Model
    points: QuantizationPoints
    images: ImageSource
    settings: QuantizeSettings
    progress: Progress
    device: torch.device
    history: list[dict[str, float | str]] = field(default_factory=list)
    state: TrainingState | None = None

    @property
    def float_model(self) -> nn.Module:
        return self.model.module

    @property
    def init_images(self) -> int:
        """How many images initialize the quantizers, in all processes together."""
        return min(self.settings.init_images, len(self.images))

    @cached_property
    def init_share(self) -> range:
        """Which of them this process shows the model; all, where there are too few to divide."""
        divided = self.init_images >= distributed.world_size()
        return distributed.rank_slice(self.init_images) if divided else range(self.init_images)

    @cached_property
    def first_images(self) -> Tensor:
        """(B, C, H, W): this process's share of the images that initialize the quantizers."""
        return self._loaded(self.init_share)

    def _loaded(self, indices: range) -> Tensor:
        loaded = load_batches(self.images, indices, self.model.transform(), len(indices))
        return next(iter(loaded))[0].to(self.device)

    @cached_property
    def samples(self) -> ActivationSamples:
        """Samples of the float model's activations on the first images."""
        return self.sample(self.float_model)

    def sample(self, module: nn.Module) -> ActivationSamples:
        """Samples of another float model's activations on the same images, of all processes."""
        return observe(
            module,
            self.first_images,
            self.points,
            self.settings.seed,
            self.init_share,
            self.init_images,
        )

    @cached_property
    def folds(self) -> list[Fold]:
        """Where divisions of a Linear's input can go."""
        return find_folds(
            self.float_model, self._loaded(range(1)), self.points, self.model.adapter.forward
        )
