"""A folder of inverted images: made in groups, resumed, the same whatever happened in between."""

import dataclasses

import pytest
import torch

from vitquant.config.synthesize import InversionSettings
from vitquant.core.errors import UserError
from vitquant.core.progress import Silent
from vitquant.data.decode import decode
from vitquant.synthesis.image_folder import read_index
from vitquant.synthesis.inversion.job import Inversion
from vitquant.synthesis.inversion.padding import pad_for_transform
from vitquant.synthesis.job import VARIABLE, run, run_cached
from vitquant.synthesis.target_classes import target_classes


@pytest.fixture(scope="module")
def job(model):
    """job(...) → images of digits that take a moment."""

    def make(**changes) -> Inversion:
        brief = {"samples": 5, "iterations": 2, "batch_size": 2}
        return Inversion(model, target_classes(model), InversionSettings.build(**(brief | changes)))

    return make


@pytest.fixture(scope="module")
def inverted(job, tmp_path_factory):
    """The images of ``job()``."""
    return run(job(), tmp_path_factory.mktemp("inverted") / "x", Silent())


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_with_index_and_sheet(inverted):
    folder = inverted.path
    assert len(inverted.rows) == 5 == len(list(folder.glob("*/*.png")))
    assert inverted.rows == read_index(folder)
    assert len({row["class"] for row in inverted.rows}) == 5
    assert sorted(p.name for p in folder.parent.iterdir()) == ["x", "x.png"]


def test_classes_come_round_again(job):
    targets = job(samples=25).targets()
    assert [image.number for image in targets] == list(range(25))
    assert sorted(image.target.index for image in targets[:10]) == list(range(10))
    assert {image.of_class for image in targets[10:20]} == {1}
    assert {job().sheet_column({"file_name": f"zero/{i:05}.png"}) for i in (0, 2)} == {0, 2}


def test_what_was_interrupted_goes_on(job, inverted, tmp_path, stop_after):
    with pytest.raises(KeyboardInterrupt):
        run(job(), tmp_path / "x", stop_after(5))  # in the second group
    assert not (tmp_path / "x").exists()
    assert [part.name for part in (tmp_path / ".x.parts" / "rows").iterdir()] == ["00000.json"]
    run(job(), tmp_path / "x", Silent())
    assert files(tmp_path / "x") == files(inverted.path)


def test_what_is_there_is_left_alone_or_refused(job, inverted):
    before = files(inverted.path)
    run(job(), inverted.path, Silent())
    assert files(inverted.path) == before
    with pytest.raises(UserError, match="was made with other settings"):
        run(job(crops=False), inverted.path, Silent())


def test_the_cache_keeps_them(job, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    first = run_cached(job(), Silent(), lambda seconds: None)
    monkeypatch.setattr("vitquant.synthesis.inversion.job.invert", None)
    assert run_cached(job(), Silent(), lambda seconds: None) == first


@pytest.mark.parametrize("family", ["swin", "swinv2", "distilled"], indirect=True)
def test_any_architecture(small, tmp_path):
    classes = target_classes(small, names_needed=False)
    settings = InversionSettings.build(samples=2, iterations=2)
    assert len(run(Inversion(small, classes, settings), tmp_path / "x", Silent()).rows) == 2


@pytest.mark.parametrize("crop_pct", [1.0, 0.9, 0.875])
def test_the_model_sees_the_pixels_that_were_made(model, crop_pct, tmp_path):
    cropping = {"crop_pct": crop_pct, "crop_mode": "center"}
    model = dataclasses.replace(model, preprocessing=model.preprocessing | cropping)
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, model.input_size, generator=rng, dtype=torch.uint8)
    pad_for_transform(pixels, model.preprocessing).save(tmp_path / "x.png")
    seen = model.transform()(decode((tmp_path / "x.png").read_bytes(), name="x", flag=""))
    mean, std = (torch.tensor(model.preprocessing[k]).view(-1, 1, 1) for k in ("mean", "std"))
    assert torch.allclose(seen, (pixels.float() / 255 - mean) / std, atol=1e-5)
