import io

import numpy as np
import pytest
from PIL import Image

from vitquant.core.errors import UserError
from vitquant.data.decode import decode


def encoded(form: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_whole_file(form):
    image = decode(encoded(form), name="a", flag="--data")
    assert (image.mode, image.size) == ("RGB", (60, 40))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"ripe apples", id="text"),
        pytest.param(b"", id="empty"),
        pytest.param(encoded("JPEG")[:1000], id="truncated-jpeg"),
        pytest.param(encoded("PNG")[:1000], id="truncated-png"),
        pytest.param(encoded("PNG")[:20], id="header-alone"),
        pytest.param(encoded("PNG")[:60] + b"\0" * 500 + encoded("PNG")[560:], id="damaged-png"),
        pytest.param(b"\xff\xd8" + b"\0" * 500, id="damaged-jpeg"),
    ],
)
def test_damaged_file_is_named(data):
    with pytest.raises(UserError, match=r"^--data: cannot read cats/1\.jpg \(.*remove it$") as e:
        decode(data, name="cats/1.jpg", flag="--data")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("tar", [False, True])
def test_damaged_file_in_a_source(tmp_path, write, pack, evaluation, tar):
    root = tmp_path / "photos"
    write(root / "apple" / "1.jpg")
    (root / "apple" / "2.jpg").write_text("ripe apples")
    source = evaluation(pack(root) if tar else root)
    source.image(0)
    with pytest.raises(UserError, match=r"photos(\.tar)?/(\./)?apple/2\.jpg"):
        source.image(1)
