"""What a run reads, by the options that name it, so that no output takes its place."""

from pathlib import Path

from vitquant.config.setting import Settings
from vitquant.core.files import Input
from vitquant.data.sources.timm_dataset import local_folder
from vitquant.models.transformers_files import CONFIG, split_tower

_SOURCE = "SOURCE"
# What the value of such a setting is called in the help, if it can be a path.
_PATHS = ("FILE", "ID", "MODEL", "MODEL,MODEL", _SOURCE)


def inputs_of(
    settings: Settings, model: str | None = None, weights: Path | None = None
) -> list[Input]:
    """The files and folders that settings name, and those of MODEL and ``--weights``."""
    found = [
        Input(settings.naming.option("weights"), weights),
        Input(settings.naming.option("recipe"), settings.recipe),
    ]
    folder = None if model is None else split_tower(model)[0]
    # Nothing is read of a folder that is called as a model of timm is.
    if folder is not None and Path(folder, CONFIG).is_file():
        found.append(Input("MODEL", folder))
    for name, field in settings.fields().items():
        metavar, value = field.metadata["metavar"], getattr(settings, name)
        if value is None or metavar not in _PATHS:
            continue
        for part in value.split(",") if "," in metavar else [value]:
            path = local_folder(part) if metavar == _SOURCE else part
            found.append(Input(settings.naming.option(name), path, images=metavar == _SOURCE))
    return found
