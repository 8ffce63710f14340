"""What an exported file says about itself: JSON strings by name, in ONNX under its metadata."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto

from vitquant.core.errors import UserError, first_line
from vitquant.core.files import check_name
from vitquant.data.class_names import ClassNames
from vitquant.models.model import ModelIdentity

FORMAT_VERSION = 1
_VERSION = "vitquant"


@dataclass(frozen=True)
class Metadata:
    """identity: the float model. preprocessing, classes: as in a checkpoint. bits: as asked for.

    num_classes: 0 without a classifier. raw_images: whether the graph takes images as they are and
    preprocesses them itself. integer_kernels: names of the nodes that are to run on integer
    kernels. settings: how the model was quantized and exported.
    """

    identity: ModelIdentity
    preprocessing: dict[str, Any]
    classes: ClassNames | None
    bits: str
    num_classes: int
    raw_images: bool
    integer_kernels: list[str]
    settings: dict[str, Any]

    def write(self, model: ModelProto) -> None:
        """Put it into ``model``."""
        onnx.helper.set_model_props(model, self.strings())

    def strings(self) -> dict[str, str]:
        """The key-value pairs that a file holds."""
        values = {
            _VERSION: FORMAT_VERSION,
            "model": self.identity.to_json(),
            "preprocessing": self.preprocessing,
            "classes": None if self.classes is None else self.classes.to_json(),
            "bits": self.bits,
            "num_classes": self.num_classes,
            "raw_images": self.raw_images,
            "integer_kernels": self.integer_kernels,
            "settings": self.settings,
        }
        return {
            k: json.dumps(v, ensure_ascii=False, separators=(",", ":")) for k, v in values.items()
        }

    @classmethod
    def read(cls, found: Mapping[str, str]) -> "Metadata":
        """From the key-value pairs that a file holds.

        Raises:
            KeyError, TypeError, ValueError: it was not written by this version of vitquant.
        """
        if int(found[_VERSION]) > FORMAT_VERSION:
            raise ValueError(f"a newer vitquant wrote it (format {found[_VERSION]})")
        values = {k: json.loads(v) for k, v in found.items() if k != _VERSION}
        classes = values["classes"]
        return cls(
            identity=ModelIdentity(**values["model"]),
            preprocessing=values["preprocessing"],
            classes=None if classes is None else ClassNames.from_json(classes),
            bits=values["bits"],
            num_classes=values["num_classes"],
            raw_images=values["raw_images"],
            integer_kernels=values["integer_kernels"],
            settings=values["settings"],
        )


def load_onnx(path: Path) -> ModelProto:
    """An ONNX file of any origin. Weights in files beside it are not read.

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    check_name(str(path), "FILE")
    if not path.is_file():
        raise UserError(f"FILE: {path} is not a file; one that vitquant export wrote is accepted")
    try:
        # Whatever it is called: by its name, it would be read as text.
        return onnx.load(path, format="protobuf", load_external_data=False)
    except (DecodeError, OSError) as error:
        raise UserError(
            f"FILE: {path} is not a readable ONNX file ({first_line(error)}); it may be cut short"
        ) from error


def parse_metadata(model: ModelProto) -> Metadata:
    """Raises KeyError, TypeError or ValueError if this vitquant did not write the file."""
    return Metadata.read({p.key: p.value for p in model.metadata_props})


def read_metadata(path: Path) -> Metadata:
    """Of an exported ONNX file.

    Raises:
        UserError: there is no such file, it is damaged, or it is of another origin.
    """
    model = load_onnx(path)
    try:
        return parse_metadata(model)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"FILE: {path} is not an ONNX file that this vitquant wrote ({error} in its metadata); "
            f"its preprocessing and classes are not known"
        ) from error
