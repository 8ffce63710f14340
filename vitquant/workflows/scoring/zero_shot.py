"""An image tower and a text tower as one classifier: behind ``--text-model``."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vitquant.config.evaluate import EvaluateSettings
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.data.class_file import read_lines, twice
from vitquant.data.class_names import ClassNames, FolderClasses, LabelSpace
from vitquant.data.image_source import ImageSource
from vitquant.data.open import Role, open_source
from vitquant.data.reading import Reading
from vitquant.data.texts import check_template, fill, names_for_texts
from vitquant.evaluation.zero_shot import embed_texts, zero_shot
from vitquant.models.model import Model
from vitquant.models.timm_adapter import imagenet_classes
from vitquant.workflows.open import ExportedFile, FloatName, open_float_of, open_model, resolve


def classify_by_texts(
    model: Model,
    reference: Model | None,
    settings: EvaluateSettings,
    reading: Reading,
    device: str,
    progress: Progress,
) -> tuple[Model, Model | None, ImageSource]:
    """Two image towers as zero-shot classifiers, and the labeled images of the setting ``data``.

    The reference "float" has the float text tower, any other the same as ``model``.

    Raises:
        UserError: a model is none of the towers of a pair, the images cannot be used, or there are
            no two classes.
    """
    option = settings.naming.option
    check_template(settings.template, option("template"))
    for tower in filter(None, (model, reference)):
        _check_gives_embeddings(tower, option("text_model"))
    text, float_text = _text_towers(settings)
    images, classes = _images(settings, reading)
    same = twice(classes.names)
    if same:
        progress.warn(
            f"{len(same)} names are those of several classes, such as {same[0]!r}, which texts "
            f"cannot tell apart; {option('classes')} FILE gives others"
        )
    texts = [fill(settings.template, name) for name in classes.names]
    progress.say(f"{len(texts)} classes, such as {texts[0]!r}, by {text.identity.name}")

    def classifier(tower: Model, reader: Model) -> Model:
        embeddings = embed_texts(reader, texts, settings.batch_size, device)
        _check_pair(tower.to(device), reader, embeddings, device, option("text_model"))
        return zero_shot(tower, embeddings, classes)

    paired = None if reference is None else classifier(reference, float_text)
    return classifier(model, text), paired, images


def _text_towers(settings: EvaluateSettings) -> tuple[Model, Model]:
    """The text tower, and the one that goes with the reference."""
    flag, name = settings.naming.option("text_model"), str(settings.text_model)
    named = resolve(name)
    runtime = settings.runtime if isinstance(named, ExportedFile) else None
    try:
        text = open_model(named, runtime=runtime)
    except UserError as error:
        raise UserError(f"{flag}: {str(error).partition(': ')[2]}") from error
    if not text.reads_text:
        raise UserError(
            f"{flag}: {name} reads images; a text tower is accepted, such as FOLDER#text of a CLIP "
            f"or SigLIP"
        )
    if settings.reference != "float" or isinstance(named, FloatName):
        return text, text
    return text, open_float_of(text, None)


def _images(settings: EvaluateSettings, reading: Reading) -> tuple[ImageSource, ClassNames]:
    """The images of the setting ``data``, and the classes that their labels number."""
    option, file = settings.naming.option, settings.classes
    folders = FolderClasses()
    space, classes = LabelSpace(0, folders), None
    if file is not None:
        lines = tuple(read_lines(Path(file)))
        known = imagenet_classes(len(lines))
        # ImageNet's folders are called by their ids, whatever the names in the file.
        classes = ClassNames(lines if known is None else known.ids, lines)
        space = LabelSpace(len(lines), classes)
    elif settings.ignore_unknown:
        raise UserError(
            f"{option('ignore_unknown')}: without {option('classes')} FILE, every folder is a "
            f"class; add that, or leave it out"
        )
    images = open_source(
        settings.data,
        flag=option("data"),
        label_space=space,
        role=Role.EVALUATION,
        ignore_unknown=settings.ignore_unknown,
        reading=reading,
    )
    classes = classes or ClassNames(folders.ids, tuple(names_for_texts(folders.ids)))
    if len(classes) < 2:
        raise UserError(
            f"{option('data')} {settings.data}: one class alone, which every image would be taken "
            f"for; folders of two classes or more are accepted, or {option('classes')} FILE"
        )
    return images, classes


def _check_gives_embeddings(model: Model, flag: str) -> None:
    name = model.identity.name
    if model.reads_text:
        raise UserError(f"MODEL: {name} reads texts; with {flag}, an image tower is accepted")
    if model.classes is not None:
        raise UserError(
            f"{flag}: {name} has a classifier of {model.num_classes} classes; it goes with an "
            f"image tower that gives embeddings; leave it out"
        )


@torch.inference_mode()
def _check_pair(model: Model, text: Model, embeddings: Tensor, device: str, flag: str) -> None:
    """Raise a UserError unless images have embeddings of the same width as texts."""
    black = Image.new("RGB", model.image_size[::-1])
    found = model(model.transform()(black)[None].to(device))
    if tuple(found.shape) != (1, embeddings.shape[1]):
        raise UserError(
            f"{flag}: {text.identity.name} gives {embeddings.shape[1]} numbers for a text, "
            f"{model.identity.name} {tuple(found.shape[1:])} for an image; the two towers of one "
            f"model are accepted"
        )
