"""Texts from files and from names of classes."""

import pytest

from vitquant.core.errors import UserError
from vitquant.data.class_file import twice
from vitquant.data.class_names import LabelSpace
from vitquant.data.open import Role, open_source
from vitquant.data.texts import TEMPLATES, names_for_texts, template_texts


def opened(path, reads_text=True):
    return open_source(
        str(path), flag="--calib", label_space=LabelSpace(0), role=Role.CALIBRATION,
        reads_text=reads_text,
    )  # fmt: skip


def test_a_file_has_a_text_a_line(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffa cat\r\n\n  über den Wolken \n".encode())
    found = opened(file)
    assert [found.image(i) for i in range(len(found))] == ["a cat", "über den Wolken"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", b"\n \n", "holds no text"),
        ("a.txt", b"\xff\xfe\xff", "not UTF-8"),
        ("a.txt", None, "cannot be read"),
        ("a.csv", b"a,b", "the model reads texts"),
        ("digits", None, "the model reads texts"),
    ],
)
def test_what_is_no_file_of_texts(tmp_path, name, content, complaint):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"--calib .*{complaint}.*FILE.txt"):
        opened(tmp_path / name)


def test_texts_are_no_images(tmp_path):
    (tmp_path / "a.txt").write_text("a cat")
    with pytest.raises(UserError, match="a file of texts, and the model takes images"):
        opened(tmp_path / "a.txt", reads_text=False)


def test_templates_are_drawn_by_the_seed():
    def texts(count, seed):
        found = template_texts("template", count, seed)
        return [found.image(i) for i in range(len(found))]

    assert texts(5, 0) == texts(5, 0) != texts(5, 1)
    every = texts(10**6, 0)
    assert len(set(every)) == len(every)
    assert "a photo of a tench." in every
    assert all("{}" not in text and "_" not in text for text in every)
    assert len(every) > 900 * len(TEMPLATES)


def test_names_of_folders():
    assert names_for_texts(["n01440764", "tabby_cat", "7"]) == ["tench", "tabby cat", "7"]
    # Both begin with maillot; the second has another name too.
    assert names_for_texts(["n03710637", "n03710721"]) == ["maillot", "maillot, tank suit"]
    # Both are cranes, and nothing else.
    assert twice(names_for_texts(["n02012849", "n03126707"])) == ["crane"]
