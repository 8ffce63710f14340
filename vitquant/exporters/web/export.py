"""A quantized model as a folder with a page: any static server shows it, any browser runs it.

The graph preprocesses the images, so the page and the other runtimes see the same pixels.
"""

import json
import os
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from vitquant.checkpoint.header import Header
from vitquant.config.targets import DEFAULT_TARGET
from vitquant.core.errors import UserError
from vitquant.core.files import follow
from vitquant.core.progress import Progress, Silent
from vitquant.exporters.onnx.export import export_onnx
from vitquant.exporters.onnx.options import OnnxOptions
from vitquant.exporters.verification import Verification
from vitquant.exporters.web.ort_web import ort_web_files
from vitquant.models.model import Model

MODEL, ABOUT, RUNTIME = "model.onnx", "model.json", "ort"
PAGE = ("index.html", "app.js", "style.css")


def export_web(
    model: Model,
    header: Header,
    folder: Path,
    options: OnnxOptions | None = None,
    *,
    ort_web: str | Path | None = None,
    flag: str = "--ort-web",
    progress: Progress | None = None,
    **verifying: Any,
) -> Verification:
    """Write ``folder``, whole or not at all, and verify the ONNX file in it.

    Args:
        model, header, options: as for :func:`vitquant.exporters.onnx.export.export_onnx`.
        folder: it must not exist, or be empty.
        ort_web: the npm package onnxruntime-web; None to download it once. flag: what messages
            call it.
        verifying: arguments of that function.

    Raises:
        UserError: the model has no classes of images, was quantized for another target, or the
            folder or onnxruntime-web cannot be used.
    """
    progress = progress or Silent()
    _check(model, header)
    runtime = ort_web_files(None if ort_web is None else Path(ort_web), progress, flag)
    folder = follow(folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        (temporary / RUNTIME).mkdir(parents=True)
        found = export_onnx(
            model,
            header,
            temporary / MODEL,
            replace(options or OnnxOptions(), raw_images=True),
            progress=progress,
            **verifying,
        )
        for name in PAGE:
            (temporary / name).write_bytes((files(__package__) / "page" / name).read_bytes())
        for name, data in runtime.items():
            (temporary / RUNTIME / name).write_bytes(data)
        about = json.dumps(_about(model, header, temporary / MODEL), ensure_ascii=False)
        (temporary / ABOUT).write_text(about, encoding="utf-8")
        os.replace(temporary, folder)
    except OSError as error:
        raise UserError(
            f"--out: {folder} could not be written ({error.strerror or error}); free space in a "
            f"writable folder is needed"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return found


def _check(model: Model, header: Header) -> None:
    name = model.identity.name
    if header.target != DEFAULT_TARGET:
        raise UserError(
            f"FILE: {name} was quantized for {header.target}, and onnxruntime-web runs what was "
            f"quantized for {DEFAULT_TARGET}; that is accepted"
        )
    if model.reads_text or model.num_classes < 2:
        what = "reads texts" if model.reads_text else "has no classifier"
        raise UserError(
            f"FILE: {name} {what}, and the page shows the classes of a picture; a classifier of "
            f"images is accepted, or --format onnx"
        )


def _about(model: Model, header: Header, file: Path) -> dict[str, Any]:
    """What the page says of the model; ``classes`` in the order of the outputs."""
    numbers = [f"class {i}" for i in range(model.num_classes)]
    return {
        "name": model.identity.name,
        "bits": header.bits,
        "bytes": file.stat().st_size,
        "classes": numbers if model.classes is None else list(model.classes.names),
    }
