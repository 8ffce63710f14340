"""Results appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from vitquant.core.errors import UserError
from vitquant.core.files import Input, check_name, check_writable, write_whole


def test_a_file_is_written_and_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_keeps_the_old_file(step, tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"vitquant.core.files.os.{step}", full)
    with pytest.raises(UserError, match=r"--out: .*a\.bin could not be written \(No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_an_interruption_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr("vitquant.core.files.os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_what_cannot_be_written_is_known_before_the_work(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"--out: .* is a folder"):
        check_writable(tmp_path)
    with pytest.raises(UserError, match=r"--log: the folder .*none does not exist"):
        check_writable(tmp_path / "none" / "a", "--log")
    with pytest.raises(UserError, match=r"cannot be written to \(File name too long\)"):
        check_writable(tmp_path / ("a" * 250))

    def refused(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.touch", refused)
    with pytest.raises(UserError, match=r"a cannot be written to \(Read-only file system\)"):
        check_writable(tmp_path / "a")


def test_looking_leaves_nothing_behind(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    check_writable(file, inputs=[Input("--weights", None), Input("--calib", tmp_path / "other")])
    check_writable(tmp_path / "new", inputs=[Input("--calib", tmp_path)])
    assert os.listdir(tmp_path) == ["file"]
    assert file.read_text() == "old"


def test_what_is_read_or_no_file_is_not_written(tmp_path):
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.touch()
    os.mkfifo(pipe)
    with pytest.raises(UserError, match=r"^--out: .*file is --weights .*file, which is read"):
        check_writable(file, inputs=[Input("--weights", str(file))])
    for check in (check_writable, lambda path: write_whole(path, b"")):
        with pytest.raises(UserError, match=r"^--out: .*pipe is no ordinary file"):
            check(pipe)


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_a_file_that_is_a_standard_stream_is_not_replaced(stream, tmp_path, monkeypatch):
    file = tmp_path / "file"
    with file.open("w") as opened:
        monkeypatch.setattr(f"sys.{stream}", opened)
        with pytest.raises(UserError, match=f"--out: .*file is {stream}"):
            check_writable(file)


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_target_is_written(exists, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    if exists:
        target.write_bytes(b"old")
    link.symlink_to(target)
    check_writable(link)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path / "elsewhere") == ["target"]


def test_a_name_that_is_not_utf8():
    with pytest.raises(UserError, match=r"--out: 'caf\\udce9' is not UTF-8; .* is accepted"):
        check_writable(Path("caf\udce9"))
    check_name("café", "--out")
