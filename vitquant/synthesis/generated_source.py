"""The images of a generated folder as an image source."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from vitquant.data.decode import decode
from vitquant.synthesis.image_folder import read_index


class GeneratedSource:
    """The images of a finished folder, in the order of its index, as an image source.

    Raises UserError, naming the folder, if it is damaged.
    """

    def __init__(self, folder: Path, name: str, flag: str = "--out") -> None:
        rows = read_index(folder, flag)
        self.name = name
        self.labels: Sequence[int] | None = [row["class"] for row in rows]
        self.skipped: Mapping[str, int] = {}
        self._flag = flag
        self._files = [folder / row["file_name"] for row in rows]

    def __len__(self) -> int:
        return len(self._files)

    def image(self, i: int) -> Image.Image:
        """Image i, RGB."""
        file = self._files[i]
        return decode(file.read_bytes(), name=str(file), flag=self._flag)
