"""The images that a source holds, with labels that are a certain model's classes."""

from typing import Any

from vitquant.data.image_source import ImageSource
from vitquant.data.source import Role, open_source
from vitquant.models.model import Model


def images_for(model: Model, source: str, flag: str, role: Role, **options: Any) -> ImageSource:
    """Open ``source`` for ``model``; see :func:`vitquant.data.source.open_source`.

    Raises:
        UserError: there are no images, or none that can serve the role.
    """
    return open_source(
        source,
        flag=flag,
        classes=model.classes,
        num_classes=model.num_classes,
        role=role,
        **options,
    )
