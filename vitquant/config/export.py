"""Every setting of an export."""

from vitquant.config.declare import UsedBy, setting
from vitquant.config.evaluate import FRACTION_OF_IMAGES, as_viewed
from vitquant.config.setting import Settings
from vitquant.config.targets import TARGETS
from vitquant.config.values import AT_LEAST_1, When

FORMATS = ("onnx", "safetensors", "executorch", "web")
WEIGHT_TYPES = ("int2", "int4", "int8")
"""Types of ONNX for weights, narrowest first."""
RESTS = ("float32", "float16")
"""What is computed between integer matmuls."""
MARGIN = 0.25
"""How much less than the model agrees with itself an exported file may agree with it."""

_ONNX: UsedBy = {"format": ("onnx",)}
_WEB: UsedBy = {"format": ("web",)}
_RUN: UsedBy = {"format": ("onnx", "executorch", "web")}


class Format(Settings):
    """Options"""

    format: str = setting(
        "onnx",
        "onnx; safetensors: a folder that the library compressed-tensors reads; executorch: a .pte "
        "for phones, lowered to XNNPACK; or web: a folder with a page that classifies pictures in "
        "a browser.",
        metavar="F",
        choices=FORMATS,
    )


class OnnxSettings(Settings):
    """ONNX file (--format onnx)"""

    used_by = _ONNX

    target: str | None = setting(
        None,
        "What the file is to be fast on; by default what the checkpoint was quantized for.",
        metavar="NAME",
        choices=tuple(TARGETS),
    )
    weight_type: str | None = setting(
        None,
        "Narrowest type that weights are stored in; by default the narrowest that the target has.",
        metavar="TYPE",
        choices=WEIGHT_TYPES,
    )
    opset: int | None = setting(
        None, "ONNX opset; by default the lowest that has the types of the weights.", AT_LEAST_1
    )
    rest: str | None = setting(
        None,
        "What is computed between integer matmuls, such as norms: float32 or float16; by default "
        "what the target is fast with.",
        metavar="TYPE",
        choices=RESTS,
    )
    float_attention: bool = setting(
        False, "Leave the two matmuls of attention float.", used_by=_RUN
    )
    with_preprocessing: bool = setting(
        False, "Let the graph take raw uint8 images and resize, crop and normalize them."
    )


class WebSettings(Settings):
    """Page (--format web)"""

    used_by = _WEB

    ort_web: str | None = setting(
        None,
        "The npm package onnxruntime-web as a file; by default it is downloaded once.",
        metavar="FILE",
    )


class Verification(Settings):
    """Verification (--format onnx, executorch or web)"""

    used_by = _RUN

    data: str | None = setting(
        None,
        "Images to verify the file with, labeled or not; by default smooth noise.",
        metavar="SOURCE",
    )
    images: int = setting(32, "How many images to verify with.", AT_LEAST_1)
    as_viewed: bool = as_viewed(used_by={"data": When()})
    min_agreement: float | None = setting(
        None,
        "Exit with code 1 where the file's top-1 prediction is the quantized model's for less than "
        f"this fraction of the images. By default {MARGIN} less than that model agrees with itself "
        "under accumulation noise.",
        FRACTION_OF_IMAGES,
    )
    weights: str | None = setting(
        None, "The float model's weights, to compare with it as well.", metavar="FILE"
    )


class Publication(Settings):
    """Hugging Face Hub (--format onnx)"""

    used_by = _ONNX

    push_to_hub: str | None = setting(
        None,
        "Upload checkpoint, ONNX file and a model card to this repository of the Hub.",
        metavar="OWNER/NAME",
    )
    private: bool = setting(False, "Into a private repository.", used_by={"push_to_hub": When()})
    report: str | None = setting(
        None,
        "Upload this page of vitquant report too, and show its charts in the model card.",
        metavar="FILE",
        used_by={"push_to_hub": When()},
    )


class ExportSettings(Publication, Verification, WebSettings, OnnxSettings, Format):
    """What ``export`` does."""
