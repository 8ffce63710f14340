"""Load a text-to-image pipeline of diffusers, from safetensors alone."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from vitquant import miniature
from vitquant.core.errors import UserError, first_line
from vitquant.core.hashing import sha256

GENERATOR = "sd-digits"
DEFAULT = "stabilityai/sd-turbo"
ACCEPTED = (
    f"{DEFAULT}, another Stable Diffusion model on the Hub that generates in one step, a folder "
    f"that diffusers has saved, or {GENERATOR}, which generates digits"
)
LICENSE = (
    "stabilityai/sd-turbo is under the Stability AI Community License "
    "(https://huggingface.co/stabilityai/sd-turbo): research and, below a yearly revenue that it "
    "names, commercial use; its acceptable use policy applies to what is generated"
)
_PARTS = ("tokenizer", "text_encoder", "unet", "vae", "scheduler")


class TextToImagePipeline(Protocol):
    """The parts of diffusers' ``StableDiffusionPipeline``, which it sets by name."""

    tokenizer: Any
    text_encoder: Any
    unet: Any
    vae: Any
    scheduler: Any


@dataclass(frozen=True)
class GeneratorIdentity:
    """Which generator this is.

    name: as the user wrote it. sha256: of its weights and of the scheduler's settings.
    """

    name: str
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def generator_path() -> Path:
    """The folder of the bundled pipeline, for ``StableDiffusionPipeline.from_pretrained``."""
    return Path(miniature.__file__).parent / "generator"


def load_pipeline(name: str, dtype: torch.dtype) -> tuple[TextToImagePipeline, GeneratorIdentity]:
    """A frozen pipeline in eval mode on the CPU, and which one it is.

    Args:
        name: of a repository on the Hub, a folder, or the bundled miniature.
        dtype: of the weights.

    Raises:
        UserError: it is not there, is not complete, holds no safetensors, or is no text-to-image
            pipeline of this kind.
    """
    source = generator_path() if name == GENERATOR else Path(name)
    local = source.is_dir()
    if local:
        _check_folder(source, name)
    elif name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(f"--generator: there is no folder {name!r}; accepted: {ACCEPTED}")
    pipeline = _from_pretrained(str(source) if local else name, name, local)
    for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae):
        part.to(dtype).eval().requires_grad_(False)
    return pipeline, GeneratorIdentity(name, _digest(pipeline))


def is_downloaded(name: str) -> bool:
    """Whether nothing would be fetched: a folder, the miniature, or what the Hub's cache holds."""
    from huggingface_hub import try_to_load_from_cache

    if name == GENERATOR or Path(name).is_dir():
        return True
    try:
        return isinstance(try_to_load_from_cache(name, "model_index.json"), str)
    except ValueError:  # not a repository's name
        return False


def _from_pretrained(source: str, name: str, local: bool) -> TextToImagePipeline:
    import diffusers
    import transformers

    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        pipeline: Any = diffusers.StableDiffusionPipeline.from_pretrained(
            source,
            use_safetensors=True,
            local_files_only=local,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        return pipeline
    except Exception as error:  # whatever the libraries raise over a name or a file
        reason = first_line(error)
        raise UserError(
            f"--generator: {name} could not be loaded ({reason}); accepted: {ACCEPTED}"
        ) from error


def _check_folder(folder: Path, name: str) -> None:
    index = folder / "model_index.json"
    try:
        listed = json.loads(index.read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"--generator: {index} cannot be read, so {name} is no pipeline that diffusers has "
            f"saved; accepted: {ACCEPTED}"
        ) from error
    missing = [part for part in _PARTS if part not in listed or not (folder / part).is_dir()]
    if missing:
        raise UserError(
            f"--generator: {name} lacks the folder {missing[0]}; a complete pipeline "
            f"({', '.join(_PARTS)}) is accepted"
        )
    for part in ("text_encoder", "unet", "vae"):
        if not any((folder / part).glob("*.safetensors")):
            raise UserError(
                f"--generator: {folder / part} holds no safetensors file, and vitquant reads no "
                f"other weights"
            )


def _digest(pipeline: TextToImagePipeline) -> str:
    digest = hashlib.sha256()
    for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae):
        digest.update(sha256(part.state_dict()).encode())
    settings = {k: str(v) for k, v in sorted(pipeline.scheduler.config.items()) if k[0] != "_"}
    digest.update(json.dumps(settings).encode())
    return digest.hexdigest()
