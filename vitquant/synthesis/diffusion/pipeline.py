"""Load a text-to-image pipeline of diffusers, from safetensors alone."""

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vitquant import miniature
from vitquant.core.errors import UserError, first_line
from vitquant.core.hashing import rounded_sha256
from vitquant.synthesis.diffusion.adapters.base import PipelineAdapter
from vitquant.synthesis.diffusion.adapters.registry import ADAPTERS, adapter_of

GENERATOR = "sd-digits"
DEFAULT = "stabilityai/sd-turbo"
ACCEPTED = (
    f"{DEFAULT}, another text-to-image pipeline of diffusers on the Hub or in a folder "
    f"({', '.join(ADAPTERS)}), or {GENERATOR}, which generates digits"
)
LICENSE = (
    "stabilityai/sd-turbo is under the Stability AI Community License "
    "(https://huggingface.co/stabilityai/sd-turbo): research and, below a yearly revenue that it "
    "names, commercial use; its acceptable use policy applies to what is generated"
)


@dataclass(frozen=True)
class GeneratorIdentity:
    """Which generator this is, and how images are generated.

    name: as the user wrote it. sha256: of its weights, rounded to bfloat16, and of the scheduler's
    settings. decoder: name and SHA-256 of the tiny decoder that gradients pass through; None for
    the generator's own. steps: that an image is drawn in.
    """

    name: str
    sha256: str
    decoder: Mapping[str, str] | None = None
    steps: int = 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def generator_path() -> Path:
    """The folder of the bundled pipeline, for ``StableDiffusionPipeline.from_pretrained``."""
    return Path(miniature.__file__).parent / "generator"


def tiny_decoder_path() -> Path:
    """The folder of the bundled tiny decoder, for ``AutoencoderTiny.from_pretrained``."""
    return Path(miniature.__file__).parent / "tiny_decoder"


def load_pipeline(name: str, dtype: torch.dtype) -> tuple[Any, GeneratorIdentity]:
    """A frozen pipeline in eval mode on the CPU, and which one it is.

    Args:
        name: of a repository on the Hub, a folder, or the bundled miniature.
        dtype: of the weights.

    Raises:
        UserError: it is not there, is not complete, holds no safetensors, or is no text-to-image
            pipeline of a known kind.
    """
    source = generator_path() if name == GENERATOR else Path(name)
    local = source.is_dir()
    if not local and (name.count("/") != 1 or name.startswith((".", "/", "~"))):
        raise UserError(f"--generator: there is no folder {name!r}; accepted: {ACCEPTED}")
    index = _read_index(source, name) if local else _fetch_index(name)
    kind = ADAPTERS.get(str(index.get("_class_name")))
    if kind is None:
        raise UserError(
            f"--generator: {name} is a {index.get('_class_name')}; accepted: {', '.join(ADAPTERS)}"
        )
    absent = {part for part in kind.optional if index.get(part, [None, None])[0] is None}
    if local:
        _check_folder(source, name, kind, index, absent)
    left_out = {**kind.left_out, **dict.fromkeys(absent)}
    adapter = _from_pretrained(kind, str(source) if local else name, name, local, left_out)
    for part in adapter.networks().values():
        part.to(dtype).eval().requires_grad_(False)
    return adapter.pipeline, GeneratorIdentity(name, _digest(adapter))


def is_downloaded(name: str) -> bool:
    """Whether nothing would be fetched: a folder, the miniature, or what the Hub's cache holds."""
    from huggingface_hub import try_to_load_from_cache

    if name == GENERATOR or Path(name).is_dir():
        return True
    try:
        return isinstance(try_to_load_from_cache(name, "model_index.json"), str)
    except ValueError:  # not a repository's name
        return False


def _read_index(folder: Path, name: str) -> dict[str, Any]:
    index = folder / "model_index.json"
    try:
        listed = json.loads(index.read_text())
        if not isinstance(listed, dict):
            raise ValueError("it is not an object")
    except (OSError, ValueError) as error:
        raise UserError(
            f"--generator: {index} cannot be read, so {name} is no pipeline that diffusers has "
            f"saved; accepted: {ACCEPTED}"
        ) from error
    return listed


def _fetch_index(name: str) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(name, "model_index.json")
    except Exception as error:  # whatever the client raises over names, networks and rights
        raise _failed(name, error) from error
    return _read_index(Path(path).parent, name)


def _failed(name: str, error: Exception) -> UserError:
    return UserError(
        f"--generator: {name} could not be loaded ({first_line(error)}); accepted: {ACCEPTED}"
    )


def _from_pretrained(
    kind: type[PipelineAdapter],
    source: str,
    name: str,
    local: bool,
    left_out: Mapping[str, Any],
) -> PipelineAdapter:
    import diffusers
    import transformers

    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        pipeline = getattr(diffusers, kind.pipeline_class).from_pretrained(
            source, use_safetensors=True, local_files_only=local, **left_out
        )
        return adapter_of(pipeline)
    except Exception as error:  # whatever the libraries raise over a name or a file
        raise _failed(name, error) from error


def _check_folder(
    folder: Path,
    name: str,
    kind: type[PipelineAdapter],
    index: Mapping[str, Any],
    absent: Set[str],
) -> None:
    wanted = [part for part in kind.parts() if part not in absent]
    missing = [part for part in wanted if part not in index or not (folder / part).is_dir()]
    if missing:
        raise UserError(
            f"--generator: {name} lacks the folder {missing[0]}; a complete pipeline "
            f"({', '.join(wanted)}) is accepted"
        )
    for part in kind.weights():
        if part not in absent and not any((folder / part).glob("*.safetensors")):
            raise UserError(
                f"--generator: {folder / part} holds no safetensors file, and vitquant reads no "
                f"other weights"
            )


def _digest(adapter: PipelineAdapter) -> str:
    """The same for the same weights in float32 and bfloat16."""
    digest = hashlib.sha256()
    for part in adapter.networks().values():
        digest.update(rounded_sha256(part.state_dict()).encode())
    scheduler = adapter.pipeline.scheduler
    settings = {k: str(v) for k, v in sorted(scheduler.config.items()) if k[0] != "_"}
    digest.update(json.dumps(settings).encode())
    return digest.hexdigest()
