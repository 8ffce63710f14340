"""Publishing a checkpoint: files, model card and all in one commit, or nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitquant.checkpoint.read import Checkpoint, read_checkpoint, restore
from vitquant.core.errors import UserError
from vitquant.hub.base_model import BaseModel, base_model
from vitquant.hub.card import Published, card, check_evaluation
from vitquant.hub.errors import redact
from vitquant.hub.report_page import FOLDER, PAGE, ReportPage
from vitquant.hub.repository import CARD, CHECKPOINT, CONFIG, ONNX, SECTION, check_identifier
from vitquant.hub.upload import UploadResult, upload
from vitquant.models.hub_config import hub_config
from vitquant.models.model import Model


def push(
    checkpoint: Path,
    repository: str,
    *,
    private: bool = False,
    onnx: Path | None = None,
    exported: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
    command: str | None = None,
    report: ReportPage | None = None,
    token: str | None = None,
) -> UploadResult:
    """Publish a checkpoint as ``OWNER/NAME`` on the Hub, which is created if it is not there.

    What an earlier upload put there is replaced, model card included.

    Args:
        private: create the repository as a private one.
        onnx: an exported model to publish beside it.
        exported: the object that ``vitquant export --json`` prints about it, for the card.
        evaluation: the object that ``vitquant eval --json`` prints, for the card's table.
        command: how the files were exported, for the card; the command that quantized is known.
        report: a page of ``vitquant report``, whose charts stand in the card.
        token: of the Hub; by default the one that is logged in, or ``HF_TOKEN``.

    Raises:
        UserError: the checkpoint cannot be used, or the Hub did not take it; the message says why
            and how to go on, and holds no token.
    """
    check_identifier(repository)
    if evaluation is not None:
        check_evaluation(evaluation)
    read = read_checkpoint(checkpoint)
    model = restore(read)
    if onnx is not None and not onnx.is_file():
        raise UserError(f"--push-to-hub: {onnx} is not a file; an exported model is accepted")
    base = base_model(model.identity)
    published = Published(
        repository,
        read,
        base,
        model.num_classes,
        evaluation,
        (command,) if command else (),
        onnx.stat().st_size if onnx is not None else None,
        exported,
        () if report is None else report.charts,
    )
    texts = {
        CONFIG: json.dumps(config(read, model, base, onnx is not None), indent=2),
        CARD: card(published),
    } | ({} if report is None else report.files())
    files: dict[str, Path | bytes] = {CHECKPOINT: checkpoint}
    if onnx is not None:
        files[ONNX] = onnx
    files |= {name: redact(text, token).encode() for name, text in texts.items()}
    return upload(
        repository,
        files,
        # Names the content, so that the commit is found again by its title.
        f"{base.name} in {read.header.bits}, content {read.header.content_sha256[:12]}",
        private=private,
        obsolete=(ONNX, PAGE, FOLDER),
        token=token,
    )


def config(checkpoint: Checkpoint, model: Model, base: BaseModel, onnx: bool) -> dict[str, Any]:
    """``config.json``: what timm expects, and a section by which vitquant knows its own."""
    header = checkpoint.header
    section = {
        "format_version": header.format_version,
        "file": CHECKPOINT,
        "bits": header.bits,
        "method": header.settings.get("method"),
        "base_model": base.repository or base.name,
        "float_weights_sha256": header.model["weights_sha256"],
        "content_sha256": header.content_sha256,
        "vitquant_version": header.versions.get("vitquant"),
    }
    return hub_config(model) | {SECTION: section | ({"onnx": ONNX} if onnx else {})}
