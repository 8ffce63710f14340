"""Every setting of an evaluation."""

from collections.abc import Mapping
from typing import Any

from vitquant.config.declare import UsedBy, setting
from vitquant.config.setting import Settings
from vitquant.config.values import AT_LEAST_1, NOT_NEGATIVE, Check, When
from vitquant.core.errors import UserError

RUNTIMES = ("onnxruntime", "openvino", "executorch")
"""What runs an exported file; the first is the default for ONNX, the last runs .pte alone."""
TEMPLATE = "a photo of a {}."
"""CLIP's own, for one text a class."""
FRACTION_OF_IMAGES = Check(lambda x: 0 <= x <= 1, "a fraction from 0 to 1, such as 0.7")


def as_viewed(used_by: UsedBy | None = None) -> Any:
    """The setting of how images become RGB, for all commands that read some."""
    return setting(
        False,
        "Turn images as their EXIF data says and lay transparent ones over white, as a viewer "
        "does; timm, and the default, use neither.",
        used_by=used_by,
    )


class EvaluateSettings(Settings):
    """Options"""

    data: str = setting(
        None,
        "Labeled images: folders named by WordNet id or class name, a .tar of such, digits, or a "
        "data set such as hfds/… that timm reads. For a model without classes, any images.",
        metavar="SOURCE",
        required=True,
    )
    reference: str | None = setting(
        None,
        "Evaluate this model beside it; float means the float model that a checkpoint was made "
        "from.",
        metavar="MODEL",
    )
    gallery: str | None = setting(
        None,
        "Score a model that gives embeddings by nearest neighbors among these labeled images; the "
        "folders of --data and of this have the same names.",
        metavar="SOURCE",
    )
    text_model: str | None = setting(
        None,
        "The text tower that belongs to the image tower MODEL: images are classified zero-shot, by "
        "the texts of their classes.",
        metavar="MODEL",
    )
    template: str = setting(
        TEMPLATE,
        "Text for a class, with {} in place of its name.",
        metavar="TEXT",
        used_by={"text_model": When()},
    )
    classes: str | None = setting(
        None,
        "What the outputs are called: a name a line, one for each, in their order. With "
        "--text-model, names for the texts; by default those of the folders.",
        metavar="FILE",
    )
    min_top1: float | None = setting(
        None,
        "Exit with code 1 where top-1, with --gallery that of the nearest neighbor, is below this "
        "fraction.",
        FRACTION_OF_IMAGES,
    )
    max_error: float | None = setting(
        None,
        "Exit with code 1 where the relative error of a model without classes is above this.",
        NOT_NEGATIVE,
        used_by={"reference": When()},
    )
    ignore_unknown: bool = setting(False, "Leave out folders that no class of the model matches.")
    as_viewed: bool = as_viewed()
    batch_size: int = setting(64, "Images at a time.", AT_LEAST_1)
    runtime: str | None = setting(
        None,
        f"What runs an ONNX file; by default {RUNTIMES[0]}.",
        metavar="NAME",
        choices=RUNTIMES,
    )

    def check(self, labels: Mapping[str, str]) -> None:
        for name in ("gallery", "max_error"):
            if self.text_model is not None and name in labels:
                raise UserError(
                    f"{labels[name]}: {labels['text_model']} makes classes of embeddings; leave "
                    f"one of them out"
                )
