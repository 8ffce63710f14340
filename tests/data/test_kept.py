"""Memory for images that are looked at many times is bounded."""

from PIL import Image

from vitquant.data.image_source import ListSource
from vitquant.data.kept import KeptImages


class Counted(ListSource):
    """Counts how often images are asked for."""

    asked = 0

    def image(self, i: int) -> Image.Image:
        self.asked += 1
        return super().image(i)


def test_what_does_not_fit_is_read_again():
    source = Counted("x", [Image.new("RGB", (10, 10), (i, 0, 0)) for i in range(5)])
    kept = KeptImages(source, [4, 0, 2], most_bytes=2 * 10 * 10 * 4)
    assert source.asked == len(kept) == 3
    for _ in range(2):
        assert [kept.image(i).getpixel((0, 0))[0] for i in range(3)] == [4, 0, 2]
    assert source.asked == 3 + 2
    assert (kept.name, kept.labels) == ("x", None)
