"""Every setting of a benchmark."""

from vitquant.config.declare import setting
from vitquant.config.evaluate import RUNTIMES, as_viewed
from vitquant.config.setting import Settings
from vitquant.config.values import (
    AT_LEAST_0,
    AT_LEAST_1,
    INPUT_SIZE,
    INPUT_SIZE_HELP,
    Check,
    When,
    parse_input_size,
)

_SIZES = Check(
    lambda text: all(part.isdecimal() and int(part) > 0 for part in text.split(",")),
    "one or more sizes of a batch, such as 1,8",
)
_SIZE = Check(lambda text: parse_input_size(text) is not None, INPUT_SIZE)
_MODEL = {"model": When()}
_CALIB = {"calib": When()}
_DATA = {"data": When()}


class Timing(Settings):
    """Options"""

    runtime: str | None = setting(
        None,
        "Time in this runtime alone; by default in each that is installed.",
        metavar="NAME",
        choices=RUNTIMES,
    )
    batch_size: str = setting(
        "1", "Images at a time; several sizes with commas.", _SIZES, metavar="N,N"
    )
    threads: int | None = setting(
        None, "How many threads each runtime gets; by default as many as torch has.", AT_LEAST_1
    )
    repeats: int = setting(50, "Timed runs of each file.", AT_LEAST_1)
    breakdown: bool = setting(False, "Show which kinds of nodes the time is spent in.")
    memory: bool = setting(
        True, "Measure the memory of a process that runs the file, which takes seconds for each."
    )


class FloatModel(Settings):
    """Float model"""

    model: str | None = setting(
        None, "Time this float model too; the speed of files is relative to it.", metavar="MODEL"
    )
    weights: str | None = setting(
        None, "Local safetensors file of its weights.", metavar="FILE", used_by=_MODEL
    )
    num_classes: int | None = setting(
        None, "Classes in --weights; 0 leaves the classifier out.", AT_LEAST_0, used_by=_MODEL
    )
    input_size: str | None = setting(
        None, f"{INPUT_SIZE_HELP}.", _SIZE, metavar="N|HxW", used_by=_MODEL
    )
    calib: str | None = setting(
        None,
        "Time each runtime's own int8 of it too, calibrated with these images, labeled or not: "
        "quantize_static of ONNX Runtime, NNCF for OpenVINO. All are compared with the float model "
        "on the same images.",
        metavar="SOURCE",
        used_by=_MODEL,
    )
    images: int = setting(32, "How many images of --calib.", AT_LEAST_1, used_by=_CALIB)


class Accuracy(Settings):
    """Accuracy"""

    data: str | None = setting(
        None, "Labeled images to measure top-1 of each file on, as in eval.", metavar="SOURCE"
    )
    reference: str | None = setting(
        None,
        "The checkpoint in PyTorch, or another model, whose top-1 predictions those of the files "
        "are compared with; of several with commas, each file is compared with its own checkpoint.",
        metavar="MODEL,MODEL",
        used_by=_DATA,
    )
    ignore_unknown: bool = setting(
        False, "Leave out folders that no class of the model matches.", used_by=_DATA
    )
    as_viewed: bool = as_viewed(used_by=_DATA | _CALIB)


class BenchSettings(Accuracy, FloatModel, Timing):
    """What ``bench`` does."""

    @property
    def batch_sizes(self) -> list[int]:
        """Those asked for, each once, in their order."""
        return list(dict.fromkeys(int(part) for part in self.batch_size.split(",")))
