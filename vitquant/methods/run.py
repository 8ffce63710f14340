"""What a run depends on: two runs that agree in this end with the same checkpoint."""

import hashlib
import json
from typing import Any

import vitquant
from vitquant.data.image_source import ImageSource
from vitquant.methods.settings import Settings
from vitquant.models.model import Model

_PLACES = {"bits": "--bits", "patch_embed": "--patch-embed-bits", "head": "--head-bits"}


def identify(model: Model, images: ImageSource, settings: Settings) -> dict[str, Any]:
    """JSON values by the names of the options that they come from.

    Machine, threads and processes are left out: they change no more than the rounding of sums.
    """
    values = settings.to_json()
    scheme = values.pop("scheme")
    run = {
        "version of vitquant": vitquant.__version__,
        "MODEL": model.identity.to_json(),
        "--calib": _digest(images),
        **{_PLACES[place]: bits for place, bits in scheme.items()},
        **{f"--{name.replace('_', '-')}": value for name, value in values.items()},
    }
    return json.loads(json.dumps(run))


def _digest(images: ImageSource) -> str:
    """Hex SHA-256 over the decoded images, in their order."""
    digest = hashlib.sha256()
    for i in range(len(images)):
        image = images.image(i)
        digest.update(f"{image.size}\n".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()
