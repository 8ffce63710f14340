"""A folder of inverted images: made in groups, resumed, the same whatever happened in between."""

import pytest
import torch

from vitquant.data.decode import decode
from vitquant.errors import UserError
from vitquant.progress import Silent
from vitquant.synthesis.cache import VARIABLE, inverted
from vitquant.synthesis.image_folder import read_index
from vitquant.synthesis.inversion import job as room
from vitquant.synthesis.inversion.job import Inversion, aims_of, make_images
from vitquant.synthesis.inversion.optimize import framed
from vitquant.synthesis.settings import InversionSettings


@pytest.fixture
def job(model):
    """job(...) → images of digits that take a moment."""

    def make(**changes) -> Inversion:
        brief = {"samples": 5, "iterations": 2, "batch_size": 2}
        return Inversion(model, aims_of(model), InversionSettings(**(brief | changes)))

    return make


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_with_index_and_sheet(job, tmp_path):
    images = make_images(job(), tmp_path / "x", Silent())
    assert len(images.rows) == 5 == len(list((tmp_path / "x").glob("*/*.png")))
    assert images.rows == read_index(tmp_path / "x")
    assert images.sheet.is_file()
    assert len({row["class"] for row in images.rows}) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x", "x.png"]


def test_classes_come_round_again(job):
    aims = job(samples=25).aims()
    assert [aim.number for aim in aims] == list(range(25))
    assert sorted(aim.subject.index for aim in aims[:10]) == list(range(10))
    assert {aim.of_class for aim in aims[10:20]} == {1}


def test_what_was_interrupted_goes_on(job, tmp_path, monkeypatch):
    make_images(job(), tmp_path / "whole", Silent())
    done = []

    def stops(*arguments):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return kept(*arguments)

    kept = room.keep
    monkeypatch.setattr(room, "keep", stops)
    with pytest.raises(KeyboardInterrupt):
        make_images(job(), tmp_path / "part", Silent())
    assert not (tmp_path / "part").exists()
    made = []
    monkeypatch.setattr(room, "keep", lambda *a: made.append(a[1]) or kept(*a))
    make_images(job(), tmp_path / "part", Silent())
    assert made == [1, 2]
    assert files(tmp_path / "part") == files(tmp_path / "whole")


def test_what_is_there_is_left_alone_or_refused(job, tmp_path):
    make_images(job(), tmp_path / "x", Silent())
    before = files(tmp_path / "x")
    make_images(job(), tmp_path / "x", Silent())
    assert files(tmp_path / "x") == before
    with pytest.raises(UserError, match="was made with other settings"):
        make_images(job(plain=True), tmp_path / "x", Silent())


def test_the_cache_keeps_them(job, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    first = inverted(job(), Silent(), lambda seconds: None)
    monkeypatch.setattr(room, "invert", None)
    assert inverted(job(), Silent(), lambda seconds: None) == first


def test_a_model_without_names_for_its_classes(make_small):
    assert [s.phrase for s in aims_of(make_small("vit"))] == [str(i) for i in range(10)]


def test_a_model_without_classes_is_refused(make_small):
    with pytest.raises(UserError, match="MODEL: small has no classifier"):
        aims_of(make_small("siglip"))


@pytest.mark.parametrize("family", ["swin", "swinv2", "distilled"], indirect=True)
def test_any_architecture(small, tmp_path):
    settings = InversionSettings(samples=2, iterations=2)
    images = make_images(Inversion(small, aims_of(small), settings), tmp_path / "x", Silent())
    assert len(images.rows) == 2


@pytest.mark.parametrize("crop_pct", [1.0, 0.9, 0.875])
def test_the_model_sees_the_pixels_that_were_made(model, crop_pct, tmp_path):
    model.preprocessing = dict(model.preprocessing) | {"crop_pct": crop_pct, "crop_mode": "center"}
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, model.input_size, generator=draw, dtype=torch.uint8)
    framed(pixels, model.preprocessing).save(tmp_path / "x.png")
    seen = model.transform()(decode((tmp_path / "x.png").read_bytes(), name="x", flag=""))
    mean, std = (torch.tensor(model.preprocessing[k]).view(-1, 1, 1) for k in ("mean", "std"))
    assert torch.allclose(seen, (pixels.float() / 255 - mean) / std, atol=1e-5)
