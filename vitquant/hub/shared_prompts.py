"""Learned prompts on the Hub: publishing them, and finding those of others.

A repository of prompts has tags with the hashes of the float model and of the generator that they
were learned for, by which it is found again.
"""

import hashlib
from pathlib import Path

from huggingface_hub import HfApi

import vitquant
from vitquant.config.values import MINIATURES
from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.hub.base_model import base_model
from vitquant.hub.deadline import Deadline
from vitquant.hub.errors import redact
from vitquant.hub.prompts_card import PROMPTS, SHEET, PublishedPrompts, hash_tags, prompts_card
from vitquant.hub.repository import CARD, check_identifier
from vitquant.hub.upload import UploadResult, upload
from vitquant.models.model import ModelIdentity
from vitquant.synthesis.diffusion.pipeline import GENERATOR, GeneratorIdentity
from vitquant.synthesis.diffusion.prompt_file import SCHEME, PromptFile

# Seconds that a question may take which nobody has asked for.
_PATIENCE = 3.0
_MOST = 5


def push_prompts(
    file: PromptFile,
    repository: str,
    *,
    model: ModelIdentity,
    sheet: bytes,
    private: bool = False,
    command: str | None = None,
    token: str | None = None,
) -> UploadResult:
    """Publish learned prompts as ``OWNER/NAME`` on the Hub, which is created if it is not there.

    One commit has the file, a card and the sheet of images, in place of what an earlier upload put
    there.

    Args:
        model: the float model that they were learned for.
        sheet: a PNG with images that they draw.
        private: create the repository as a private one.
        command: how they were learned, for the card.
        token: of the Hub; by default the one that is logged in, or ``HF_TOKEN``.

    Raises:
        UserError: the Hub did not take them; the message says why and how to go on, where the file
            is, and holds no token.
    """
    check_identifier(repository)
    published = PublishedPrompts(repository, file, model, base_model(model), command)
    data = file.path.read_bytes()
    files: dict[str, Path | bytes] = {
        PROMPTS: file.path,
        SHEET: sheet,
        CARD: redact(prompts_card(published), token).encode(),
    }
    # Names the content, so that the commit is found again by its title.
    message = f"Prompts for {model.name}, content {hashlib.sha256(data).hexdigest()[:12]}"
    try:
        return upload(repository, files, message, private=private, token=token)
    except UserError as error:
        raise UserError(f"{error}; the prompts are in {file.path}") from None


def suggest_prompts(
    model: ModelIdentity,
    generator: GeneratorIdentity,
    progress: Progress,
    but: str | None = None,
) -> None:
    """Tell of prompts on the Hub that were learned for this model and generator, if there are any.

    Nothing is downloaded, and no answer within a few seconds is no answer. Nobody is asked about
    the bundled models. but: a repository that is not meant.
    """
    bundled = generator.name == GENERATOR or model.name in MINIATURES
    if bundled or not distributed.is_main():
        return
    wanted = hash_tags(model.weights_sha256, generator.sha256)
    api = HfApi(library_name="vitquant", library_version=vitquant.__version__)
    try:
        found = Deadline(_PATIENCE).run(
            lambda: [m.id for m in api.list_models(filter=wanted, sort="downloads", limit=_MOST)]
        )
        names = [name for name in found if name != but]
        for name in names:  # what a server sends is printed
            check_identifier(name)
    except Exception:  # offline, slow, or whatever the client raises: it is a courtesy
        return
    if names:
        progress.say(
            f"prompts that were learned for this model and generator exist: --prompts "
            f"{SCHEME}{names[0]}"
        )
