"""A folder with a page: what it holds, and what is refused."""

import re

import pytest

from vitquant.core.errors import UserError
from vitquant.core.progress import Silent
from vitquant.exporters.web import export, ort_web
from vitquant.exporters.web.export import PAGE, export_web
from vitquant.exporters.web.ort_web import NAMES, ort_web_files

FLAG = "--ort-web"


@pytest.fixture
def runtime(monkeypatch):
    """Stands for onnxruntime-web."""
    monkeypatch.setattr(export, "ort_web_files", lambda *_: dict.fromkeys(NAMES, b"x"))


@pytest.mark.usefixtures("runtime")
def test_a_folder_is_whole(quantized, pictures, tmp_path):
    model, header = quantized("vit", "w8a8")
    folder = tmp_path / "page"
    folder.mkdir()
    export_web(model, header, folder, images=pictures).check()
    held = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
    assert held == {*PAGE, "model.onnx", "model.json", *(f"ort/{name}" for name in NAMES)}
    assert [f.name for f in tmp_path.iterdir()] == ["page"]


def test_the_page_names_no_other_server():
    for name in PAGE:
        text = (export.files(export.__package__) / "page" / name).read_text()
        assert not re.search(r"https?:|[\"'(]//", text), name


@pytest.mark.usefixtures("runtime")
def test_nothing_is_left_of_a_folder_that_fails(quantized, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise OSError("full")

    monkeypatch.setattr(export, "export_onnx", fail)
    with pytest.raises(UserError, match=r"--out: .*page could not be written \(full\)"):
        export_web(*quantized("vit", "w8a8"), tmp_path / "page")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("runtime")
def test_another_target_is_refused(quantized, tmp_path):
    model, header = quantized("vit", "w8a8", target="openvino")
    with pytest.raises(UserError, match=r"quantized for openvino, .*onnxruntime; that is accepted"):
        export_web(model, header, tmp_path / "page")


@pytest.mark.parametrize(
    ("changed", "words"),
    [("reads_text", "reads texts"), ("num_classes", "has no classifier")],
)
def test_what_has_no_classes_of_images_is_refused(changed, words, quantized, monkeypatch, tmp_path):
    model, header = quantized("vit", "w8a8")
    value = {"reads_text": True, "num_classes": 0}[changed]
    monkeypatch.setattr(type(model), changed, value)
    with pytest.raises(UserError, match=rf"FILE: .* {words}, .* a classifier of images is"):
        export_web(model, header, tmp_path / "page")


def test_another_package_is_refused(tmp_path):
    path = tmp_path / "x.tgz"
    with pytest.raises(UserError, match=r"--ort-web: .*x\.tgz cannot be read \(No such file"):
        ort_web_files(path, Silent(), FLAG)
    path.write_bytes(b"not the package")
    with pytest.raises(UserError, match=r"--ort-web: .*x\.tgz is not onnxruntime-web .* SHA-512"):
        ort_web_files(path, Silent(), FLAG)


def test_a_registry_that_cannot_be_reached(monkeypatch, tmp_path):
    monkeypatch.setenv("VITQUANT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ort_web, "URL", "http://127.0.0.1:1/x.tgz")
    with pytest.raises(UserError, match=r"cannot be downloaded .*; --ort-web FILE takes") as raised:
        ort_web_files(None, Silent(), FLAG)
    assert "\n" not in str(raised.value)


def test_a_download_that_is_another_is_not_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("VITQUANT_CACHE", str(tmp_path / "cache"))
    fake = tmp_path / "fake.tgz"
    fake.write_bytes(b"not the package")
    monkeypatch.setattr(ort_web, "URL", fake.as_uri())
    with pytest.raises(UserError, match=r"is not onnxruntime-web .* SHA-512 differs"):
        ort_web_files(None, Silent(), FLAG)
    assert not (tmp_path / "cache").exists()
