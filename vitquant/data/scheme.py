"""How a data set is named, `hfds/…`, `hfids/…`, `tfds/…`, `wds/…` or `torch/…`, and opened."""

from __future__ import annotations

import contextlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from timm.data import create_dataset

from vitquant.data.image_source import Role
from vitquant.data.request import Request, first_line

# Scheme → the modules that its reader imports, and what `pip install` calls them.
PACKAGES: dict[str, dict[str, str]] = {
    "hfds": {"datasets": "datasets"},
    "hfids": {"datasets": "datasets"},
    "tfds": {"tensorflow_datasets": "tensorflow-datasets", "tensorflow": "tensorflow"},
    "wds": {"webdataset": "webdataset"},
    "torch": {},
}

# Publishers do not agree on what to call the images that are not for training.
_SPLITS = {Role.CALIBRATION: ("train",), Role.EVALUATION: ("validation", "val", "test")}


def scheme_of(source: str) -> str | None:
    """The scheme that `source` starts with, in lower case; None if it starts with none."""
    prefix, slash, rest = source.partition("/")
    return prefix.lower() if slash and rest and prefix.lower() in PACKAGES else None


def create(scheme: str, request: Request) -> tuple[Any, str]:
    """timm's data set for the source, and the split that is read: the role's first that there is.

    Forms: `hfds/OWNER/NAME`; `hfids/OWNER/NAME`, streamed; `tfds/NAME`; `wds/FOLDER` with an
    `_info.json`, or `wds/FOLDER/SHARDS.tar|COUNT`; `torch/NAME`, downloaded to torch's cache, or
    `torch/NAME/FOLDER`.

    Raises UserError if a package is missing or the data set cannot be opened.
    """
    missing = [pip for module, pip in PACKAGES[scheme].items() if find_spec(module) is None]
    if missing:
        raise request.error(
            f"needs {' and '.join(missing)}: pip install {' '.join(missing)}, "
            "or give a folder of images, a .tar or digits"
        )
    splits = _SPLITS[request.role]
    failure: Exception | None = None
    for split in splits:
        name, root, options = _arguments(scheme, request.source, split)
        try:
            # timm's readers print advice; the standard output is for results.
            with contextlib.redirect_stdout(sys.stderr):
                return create_dataset(name, root=root, **options), options["split"]
        except (ValueError, KeyError, RuntimeError) as error:
            # A split that does not exist is one of these, depending on the library.
            failure = failure or error
        except Exception as error:
            failure = error
            break
    reason = first_line(failure) if failure else ""
    local = f"; for the local folder write ./{request.source}" * Path(request.source).exists()
    raise request.error(
        f"cannot be opened ({reason}); a data set that timm.data.create_dataset reads is accepted, "
        f"with a split called {' or '.join(splits)}{local}"
    ) from failure


def _arguments(scheme: str, source: str, split: str) -> tuple[str, str | None, dict[str, Any]]:
    """What `create_dataset` takes: name, root, and the rest."""
    rest = source.partition("/")[2]
    if scheme == "torch":
        name, _, folder = rest.partition("/")
        root = folder or str(Path(torch.hub.get_dir()).parent / "datasets")
        return f"torch/{name}", root, {"split": split, "download": not folder}
    if scheme == "wds":
        folder, _, last = rest.rpartition("/")
        if ".tar" in last:
            # timm finds shards by a pattern in place of a split, with the count behind a bar.
            return "wds/shards", folder, {"split": last}
        return "wds/shards", rest, {"split": split}
    return source, None, {"split": split, "download": scheme == "tfds"}
