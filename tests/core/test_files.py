"""Results appear whole or not at all."""

import errno
import os

import pytest

from vitquant.core.errors import UserError
from vitquant.core.files import check_writable, write_whole


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
    monkeypatch.setattr("vitquant.core.files.os.access", lambda folder, mode: False)
    with pytest.raises(UserError, match="cannot be written to"):
        check_writable(tmp_path / "a")


def test_what_is_read_or_no_file_is_not_written(tmp_path):
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.touch()
    os.mkfifo(pipe)
    check_writable(file, inputs=(None, tmp_path / "other"))
    with pytest.raises(UserError, match=r"^--out: .*file is what is read"):
        check_writable(file, inputs=(str(file),))
    with pytest.raises(UserError, match=r"^--out: .*pipe is no ordinary file"):
        check_writable(pipe)
