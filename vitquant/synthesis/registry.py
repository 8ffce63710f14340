"""Every kind of synthesizer, by name. To add one: a folder beside this file, and a line here."""

from dataclasses import dataclass
from typing import Any, Protocol

from vitquant.config.setting import Settings
from vitquant.config.synthesize import DiffusionSettings, InversionSettings
from vitquant.core.progress import Progress
from vitquant.models.model import Model
from vitquant.synthesis.diffusion.sample_job import from_prompts, from_templates
from vitquant.synthesis.image_job import GenerationOptions, ImageSynthesizer
from vitquant.synthesis.inversion.job import build_inversion


class Build(Protocol):
    """From a model to what makes images of its classes; UserError if it cannot."""

    def __call__(
        self, model: Model, settings: Any, options: GenerationOptions, progress: Progress, /
    ) -> ImageSynthesizer[Any]: ...


@dataclass(frozen=True)
class SynthesizerKind:
    """How a synthesizer is built.

    settings: class of its settings, which has ``samples`` and ``seed``. shorter: how to make a run
    for calibration shorter, for the user. max_calibration: images for calibration, at most; None
    for no limit.
    """

    settings: type[Settings]
    build: Build
    shorter: str = "fewer --samples"
    max_calibration: int | None = None

    def calibration_settings(self, samples: int, seed: int) -> Any:
        """The settings for so many images, or for as many as are made for calibration."""
        return self.settings.build(samples=min(samples, self.max_calibration or samples), seed=seed)


SYNTHESIZERS = {
    "prompts": SynthesizerKind(
        DiffusionSettings,
        from_prompts,
        "fewer --samples, or prompts learned elsewhere (--prompts),",
    ),
    "template": SynthesizerKind(DiffusionSettings, from_templates),
    # An image takes long to make: more than the usual number must be asked for by name.
    "inversion": SynthesizerKind(
        InversionSettings,
        build_inversion,
        shorter="fewer --samples, or synthesize --inversion with fewer --iterations,",
        max_calibration=InversionSettings.build().samples,
    ),
}
"""The kinds that ``--calib`` and ``synthesize`` know."""
