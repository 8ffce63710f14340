"""Many images in one: classes as rows, the images of a class as columns."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from vitquant.core.files import write_whole
from vitquant.synthesis.image_folder import Row

_ROWS, _COLUMNS = 100, 20
_SIDE = 64
_LABEL = 160
_BACKGROUND, _TEXT, _WRONG = (255, 255, 255), (0, 0, 0), (200, 0, 0)


def write_sheet(
    path: Path, folder: Path, rows: Sequence[Row], column_of: Callable[[Row], int]
) -> None:
    """Write a PNG with the first image for each column of each class.

    Images that the float model took for something else have a red frame. Of more than 100 classes,
    100 are shown, spread evenly; of more than 20 columns, the first 20.

    Raises:
        UserError: it cannot be written.
    """
    by_class: dict[int, dict[int, Row]] = {}
    for row in rows:
        by_class.setdefault(row["class"], {}).setdefault(column_of(row), row)
    classes = sorted(by_class)
    shown = classes[:: -(-len(classes) // _ROWS)]
    columns = min(_COLUMNS, max(i for images in by_class.values() for i in images) + 1)
    sheet = Image.new("RGB", (_LABEL + columns * _SIDE, len(shown) * _SIDE), _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for y, index in enumerate(shown):
        label = next(iter(by_class[index].values()))["label"]
        pen.text((4, y * _SIDE + _SIDE // 2 - 6), label[:26], fill=_TEXT)
        for column in range(columns):
            found = by_class[index].get(column)
            if found is not None:
                left, top = _LABEL + column * _SIDE, y * _SIDE
                _paste(sheet, folder / found["file_name"], left, top)
                if not found["correct"]:
                    pen.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), outline=_WRONG)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    write_whole(path, data.getvalue())


def _paste(sheet: Image.Image, file: Path, left: int, top: int) -> None:
    with Image.open(file) as image:
        small = image.convert("RGB").resize((_SIDE - 2, _SIDE - 2), Image.Resampling.BICUBIC)
    sheet.paste(small, (left + 1, top + 1))
