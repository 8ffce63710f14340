"""Many images in one: classes as rows, the images of a class as columns."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

from vitquant.core.files import write_whole
from vitquant.synthesis.image_folder import Row

_ROWS, _COLUMNS = 100, 20
_SIDE = 64
_LABEL = 160
_BACKGROUND, _TEXT, _WRONG = (255, 255, 255), (0, 0, 0), (200, 0, 0)


class Cell(NamedTuple):
    """An image of any size, and whether it has no red frame."""

    image: Image.Image
    correct: bool = True


class Line(NamedTuple):
    """Images in a row. None leaves a place empty."""

    label: str
    cells: Sequence[Cell | None]


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

    def cell(row: Row | None) -> Cell | None:
        return None if row is None else Cell(_read(folder / row["file_name"]), row["correct"])

    lines = [
        Line(next(iter(found.values()))["label"], [cell(found.get(i)) for i in range(columns)])
        for found in (by_class[index] for index in shown)
    ]
    sheet = draw_sheet(lines)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    write_whole(path, data.getvalue())


def draw_sheet(lines: Sequence[Line]) -> Image.Image:
    """The lines below each other, RGB; without room for labels where there are none."""
    margin = _LABEL if any(line.label for line in lines) else 0
    columns = max(len(line.cells) for line in lines)
    sheet = Image.new("RGB", (margin + columns * _SIDE, len(lines) * _SIDE), _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for y, line in enumerate(lines):
        pen.text((4, y * _SIDE + _SIDE // 2 - 6), line.label[:26], fill=_TEXT)
        for column, cell in enumerate(line.cells):
            if cell is not None:
                left, top = margin + column * _SIDE, y * _SIDE
                small = cell.image.resize((_SIDE - 2, _SIDE - 2), Image.Resampling.BICUBIC)
                sheet.paste(small, (left + 1, top + 1))
                if not cell.correct:
                    pen.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), outline=_WRONG)
    return sheet


def _read(file: Path) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("RGB").resize((_SIDE - 2, _SIDE - 2), Image.Resampling.BICUBIC)
