"""Pictures inside a page."""

import base64

from vitquant.reports.page.markup import Markup, tag
from vitquant.reports.sections.picture import Picture


def image(picture: Picture) -> Markup:
    """A picture as an element that holds its bytes."""
    data = base64.b64encode(picture.data).decode()
    return tag(
        "img",
        src=f"data:{picture.media_type};base64,{data}",
        width=picture.width,
        height=picture.height,
        alt=picture.alt,
    )


def captioned(picture: Picture | None, *caption: str) -> Markup:
    """A picture, where there is one, with what is said of it below."""
    return tag("figure", image(picture) if picture else None, tag("figcaption", *caption))
