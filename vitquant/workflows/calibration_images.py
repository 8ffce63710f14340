"""The images that ``--calib`` names, synthesized first where that is what it says."""

from pathlib import Path

from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource
from vitquant.data.open import Role
from vitquant.data.sources.noise import NoiseSource
from vitquant.models.model import Model
from vitquant.synthesis import cache
from vitquant.synthesis.image_folder import GeneratedSource, is_inverted
from vitquant.synthesis.image_job import GenerationOptions
from vitquant.synthesis.registry import SYNTHESIZERS
from vitquant.workflows.open import images_for

_PROMPTS = "synthetic"
SYNTHETIC = {_PROMPTS if name == "prompts" else name: kind for name, kind in SYNTHESIZERS.items()}
"""What takes long to make, and is kept."""


def bears_bias_correction(calib: object) -> bool:
    """Whether dfq corrects biases by them: not where their means are unlike photographs'."""
    if isinstance(calib, (str, Path)):
        return str(calib) not in ("inversion", "noise") and not is_inverted(Path(calib))
    return True


def calibration_images(
    calib: str,
    model: Model,
    samples: int,
    seed: int,
    options: GenerationOptions,
    progress: Progress,
) -> ImageSource:
    """The source that ``--calib`` names.

    Raises:
        UserError: it cannot be used, or options go with another source.
    """
    kind = SYNTHETIC.get(calib)
    for name, value in (("generator", options.generator), ("prompts", options.prompts)):
        if value is not None and (kind is None or name not in kind.uses):
            raise UserError(f"--{name}: --calib {calib} does not use it; --calib {_PROMPTS} does")
    if calib == "noise":
        return NoiseSource(samples, model.input_size[1:], seed)
    if kind is None:
        return images_for(model, calib, "--calib", Role.CALIBRATION, limit=samples)
    settings = kind.calibration_settings(samples, seed)
    synthesizer = kind.build(model, settings, options, progress)
    progress.say(f"{synthesizer}, kept in {cache.root()}")
    images = cache.run_cached(synthesizer, progress, options.confirm_duration(kind.shorter))
    if distributed.is_main():
        correct = sum(row["correct"] for row in images.rows) / len(images.rows)
        progress.say(f"{len(images.rows)} images, top-1 {correct:.1%}: {images.path}")
    return GeneratedSource(images.path, calib)
