"""Whether learned prompts are published."""

from vitquant.config.declare import setting
from vitquant.config.setting import Settings
from vitquant.config.values import When


class Sharing(Settings):
    """Hugging Face Hub"""

    push_to_hub: str | None = setting(
        None,
        "Upload the prompts, a card and a sheet of images to this repository of the Hub.",
        metavar="OWNER/NAME",
    )
    private: bool = setting(False, "Into a private repository.", used_by={"push_to_hub": When()})
