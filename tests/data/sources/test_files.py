"""Which files of a folder or tar are images, and what is said of the others."""

import os
import tarfile

import pytest
from PIL import Image
from timm.data.readers.reader_image_folder import find_images_and_targets

from vitquant.core.errors import UserError
from vitquant.data.reading import Reading
from vitquant.data.sources.files import File, choose_images

both = pytest.mark.parametrize("tar", [False, True], ids=["folder", "tar"])


@pytest.fixture
def root(tmp_path):
    return tmp_path / "photos"


@pytest.fixture
def opened(root, pack, calibration, evaluation):
    """opened(tar, evaluates) → source of the folder or of a tar of it, and the warnings."""

    def open_root(tar: bool, evaluates: bool = False):
        heard: list[str] = []
        place = pack(root) if tar else root
        source = (evaluation if evaluates else calibration)(
            place, reading=Reading(warn=heard.append)
        )
        return source, [line.replace(str(place), "photos") for line in heard]

    return open_root


@both
def test_every_format_counts(root, write, opened, reds, tar):
    write(root / "apple" / "1.webp", 10)
    write(root / "pear" / "2.BMP", 20)
    write(root / "pear" / "3.TIFF", 30)
    write(root / "plum" / "4.Gif", 40)
    source, heard = opened(tar, evaluates=True)
    assert source.labels == [0, 1, 1, 2]
    assert reds(source) == pytest.approx([10, 20, 30, 40], abs=4)
    assert heard == []


@both
def test_what_is_passed_over_is_counted_in_one_warning(root, write, opened, tar):
    write(root / "apple" / "1.png")
    write(root / "apple" / ".2.png")
    write(root / ".git" / "3.png")
    write(root / "__MACOSX" / "apple" / "4.png")
    write(root / "@eaDir" / "5.png")
    for name in ("Thumbs.db", "a.txt", "b.TXT", "c.txt", "README", "odd.x y"):
        (root / "apple" / name).write_text("ripe")
    (root / "apple" / "6.png").touch()
    source, heard = opened(tar)
    assert len(source) == 1
    assert source.labels is None  # __MACOSX is no class
    assert heard == [
        "--calib photos: 11 files passed over: 4 hidden, 3 .txt, 2 of unknown type, 1 .db, 1 empty"
    ]


def test_many_kinds_are_summed_up():
    files = [File(f"{i}.{ending}", "", 1) for i, ending in enumerate("abcdefgh")]
    assert choose_images(files)[1].startswith("8 files passed over: 1 .a, ")
    assert choose_images(files)[1].endswith(" 1 .f, 2 of other types")
    assert choose_images(files[:1])[1] == "1 file passed over: 1 .a"


def test_what_synthesize_writes_is_no_surprise(root, write, opened):
    write(root / "0" / "1.png")
    (root / "metadata.jsonl").write_text("{}")
    (root / "vitquant.json").write_text("{}")
    assert opened(tar=False)[1] == []


@both
def test_names(root, write, opened, reds, tar):
    names = ["a b/c d.png", "été/ü.PNG", "日本/本.Jpeg", "²/x².webp", "%25/#1.png", "a'b/\".png"]
    for i, name in enumerate(names):
        write(root / name, 10 * i)
    source, _ = opened(tar)
    assert sorted(reds(source)) == pytest.approx([0, 10, 20, 30, 40, 50], abs=4)
    assert len(set(source.labels)) == len(names)


def test_name_that_is_no_utf_8(root, write, opened):
    write(root / "plum" / "1.png")
    os.rename(os.fsencode(root / "plum"), os.fsencode(root) + b"/pl\xffm")
    assert opened(tar=False)[0].image(0).size == (8, 6)


@both
def test_order_and_classes_are_those_of_timm(root, write, opened, reds, tar):
    names = ["10/2.png", "10/10.png", "9/b.png", "9/A.png", "Zoo/1.png", "apple/x/9/1.png"]
    names += ["stray.png", "apple/1.jpeg", "apple/01.jpg", "é/1.png", "c10/1.png", "c9/1.png"]
    for i, name in enumerate(names):
        write(root / name, 20 * i)
    source, _ = opened(tar)
    expected, _ = find_images_and_targets(str(root))
    assert [f"{root}/{file.path}" for file in source._files] == [path for path, _ in expected]
    assert source.labels == [target for _, target in expected]


@both
def test_links(root, write, opened, reds, tar):
    write(root / "apple" / "1.png", 10)
    (root / "apple" / "2.png").hardlink_to(root / "apple" / "1.png")
    (root / "apple" / "3.png").symlink_to("1.png")
    (root / "apple" / "4.png").symlink_to("../apple/3.png")
    assert reds(opened(tar)[0]) == [10, 10, 10, 10]


def test_linked_folders(root, tmp_path, write, opened, reds):
    write(tmp_path / "elsewhere" / "1.png", 10)
    write(root / "pear" / "1.png", 20)
    (root / "apple").symlink_to(tmp_path / "elsewhere")
    (root / "pear" / "again").symlink_to("..")
    (root / "itself").symlink_to("itself")
    source, heard = opened(tar=False)
    assert (reds(source), source.labels) == ([10, 20], [0, 1])
    assert heard == ["--calib photos: 1 file passed over: 1 of unknown type"]


@both
def test_broken_link_is_an_image_that_cannot_be_read(root, write, opened, tar):
    write(root / "1.png")
    (root / "2.png").symlink_to("nowhere.png")
    source, _ = opened(tar)
    with pytest.raises(UserError, match=r"cannot read .*2\.png \(neither a file nor a link"):
        source.image(1)


def test_fifo_is_not_waited_for(root, write, opened):
    write(root / "1.png")
    os.mkfifo(root / "2.png")
    with pytest.raises(UserError, match=r"cannot read .*2\.png \(neither a file nor a link"):
        opened(tar=False)[0].image(1)


def test_folder_that_may_not_be_read(root, write, calibration, monkeypatch):
    write(root / "apple" / "1.png")

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"^--calib .*photos cannot be read \(Permission denied\)"):
        calibration(root)


def test_tars_in_a_tar_are_folders(tmp_path, write, calibration, reds):
    for i, name in enumerate(("apple", "pear")):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            tar.add(write(tmp_path / name / "1.png", 10 * i + 10), "1.png")
            tar.add(write(tmp_path / name / "2.png", 10 * i + 11), "deep/2.png")
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        for name in ("apple", "pear"):
            tar.add(tmp_path / f"{name}.tar", f"parts/{name}.tar")
    source = calibration(tmp_path / "all.tar")
    assert reds(source) == [10, 11, 20, 21]
    assert source.labels == [0, 1, 2, 1]


def test_truncated_file_of_a_folder(root, write, opened):
    write(root / "1.png")
    source, _ = opened(tar=False)
    (root / "1.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"1\.png \(0 of \d+ bytes are there\)"):
        source.image(0)


def test_images_are_read_whole(root, write, pack, calibration):
    write(root / "1.png", 7)
    packed, plain = calibration(pack(root)), calibration(root)
    assert isinstance(packed.image(0), Image.Image)
    assert packed.image(0).tobytes() == plain.image(0).tobytes()
