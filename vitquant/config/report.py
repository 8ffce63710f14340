"""Every setting of a report."""

from vitquant.config.declare import setting
from vitquant.config.evaluate import as_viewed
from vitquant.config.setting import Settings
from vitquant.config.values import AT_LEAST_0, AT_LEAST_1, When

FLOAT, NONE = "float", "none"
_DATA = {"data": When()}


class ReportSettings(Settings):
    """Options"""

    data: str | None = setting(
        None,
        "Images to show to both models: labeled ones as in eval, or any. Without them, the report "
        "has what needs none.",
        metavar="SOURCE",
    )
    reference: str = setting(
        FLOAT,
        "What to compare with: float, the float model that the checkpoint was made from, or none.",
        metavar="NAME",
        choices=(FLOAT, NONE),
        used_by=_DATA,
    )
    calib: str | None = setting(
        None,
        "The calibration images, where they are no longer where the checkpoint says.",
        metavar="SOURCE",
    )
    images: int = setting(
        256, "Images of --data at most, spread over the classes.", AT_LEAST_1, used_by=_DATA
    )
    corruption_images: int = setting(
        64,
        "How many of them are damaged too, in twelve ways; 0 leaves that out.",
        AT_LEAST_0,
        used_by=_DATA,
    )
    latency: bool = setting(
        True, "Export the model and time it in each installed runtime, beside the float model."
    )
    classes: str | None = setting(
        None,
        "What the outputs are called: a name a line, one for each, in their order.",
        metavar="FILE",
        used_by=_DATA,
    )
    ignore_unknown: bool = setting(
        False, "Leave out folders that no class of the model matches.", used_by=_DATA
    )
    as_viewed: bool = as_viewed(used_by=_DATA | {"calib": When()})
    batch_size: int = setting(32, "Images at a time.", AT_LEAST_1, used_by=_DATA)
