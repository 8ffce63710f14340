"""A file of prompts, from disk or from the Hub."""

from pathlib import Path

from huggingface_hub import hf_hub_download, list_repo_files

from vitquant.core.errors import UserError
from vitquant.generate.prompts import PromptFile, read_prompts

SCHEME = "hf://"
_ACCEPTED = f"a file that learn-prompts wrote, or {SCHEME}owner/name of a repository with one"


def prompt_file(name: str) -> PromptFile:
    """Read the prompts that ``--prompts`` names.

    name: a path, ``hf://owner/name`` for a repository with one safetensors file, or
        ``hf://owner/name/file.safetensors``.

    Raises:
        UserError: there is no such file or repository, or it is something else.
    """
    if not name.startswith(SCHEME):
        return read_prompts(Path(name))
    owner, _, rest = name.removeprefix(SCHEME).partition("/")
    repository, _, file = rest.partition("/")
    if not owner or not repository:
        raise UserError(f"--prompts: {name!r} names no repository; accepted: {_ACCEPTED}")
    repository = f"{owner}/{repository}"
    try:
        file = file or _only_file(repository)
        path = hf_hub_download(repository, file)
    except UserError:
        raise
    except Exception as error:  # whatever the client raises over names, networks and rights
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"--prompts: {name} could not be read from the Hub ({reason}); accepted: {_ACCEPTED}"
        ) from error
    return read_prompts(Path(path))


def _only_file(repository: str) -> str:
    files = [f for f in list_repo_files(repository) if f.endswith(".safetensors")]
    if len(files) != 1:
        raise UserError(
            f"--prompts: {SCHEME}{repository} holds {len(files)} safetensors files; "
            f"{SCHEME}{repository}/FILE is accepted"
        )
    return files[0]
