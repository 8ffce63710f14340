"""A folder of generated images, and its filter."""

import json

import pytest
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor

from vitquant.core.errors import UserError
from vitquant.core.hashing import noise
from vitquant.core.progress import Silent
from vitquant.data.open import Role, open_source
from vitquant.synthesis.generated_source import GeneratedSource
from vitquant.synthesis.job import run


def contents(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_images_lie_by_class_and_the_index_tells_where_they_come_from(finished):
    rows = [json.loads(line) for line in (finished.path / "metadata.jsonl").open()]
    assert rows == finished.rows
    assert len(rows) == 12  # four for each class: fourteen cannot be divided
    assert [row["mode"] for row in rows[:4]] == [0, 1, 0, 1]
    assert rows[0]["prompt"] == "a bright photo of a small zero"
    assert {row["file_name"].split("/")[0] for row in rows} == {"zero", "one", "two"}
    assert len({row["seed"] for row in rows}) == 12
    with Image.open(finished.path / rows[0]["file_name"]) as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")
    assert sorted(p.name for p in finished.path.iterdir()) == [
        "metadata.jsonl", "one", "two", "vitquant.json", "zero",
    ]  # fmt: skip


def test_an_image_can_be_generated_again_from_its_row(sampler, finished):
    row, made = finished.rows[5], sampler()
    embeds = made.prompts.prompt_embeds(made.generator, made.classes[row["class"]])
    mode = slice(row["mode"], row["mode"] + 1)
    latents = noise((1, *made.generator.noise_shape), row["seed"])
    image = made.generator.generate(embeds[mode], latents)
    stored = pil_to_tensor(GeneratedSource(finished.path, "synthetic").image(5))
    assert (image[0] * 255 - stored).abs().max() <= 1


def test_other_readers_find_classes_and_images(finished, model):
    source = open_source(
        str(finished.path),
        flag="--calib", label_space=model.label_space, role=Role.EVALUATION,
    )  # fmt: skip
    assert len(source) == 12
    assert sorted(set(source.labels)) == [0, 1, 2]


def test_the_contact_sheet_has_classes_as_rows_and_modes_as_columns(finished):
    with Image.open(finished.sheet) as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (160 + 2 * 64, 3 * 64)


def test_an_interrupted_run_ends_with_the_same_folder(sampler, finished, tmp_path, stop_after):
    with pytest.raises(KeyboardInterrupt):
        run(sampler(), tmp_path / "out", stop_after(1))
    assert not (tmp_path / "out").exists()
    run(sampler(), tmp_path / "out", Silent())
    assert contents(tmp_path / "out") == contents(finished.path)
    assert (tmp_path / "out.png").read_bytes() == finished.sheet.read_bytes()


def test_a_finished_folder_is_left_as_it_is(sampler, finished, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in finished.path.rglob("*")}
    assert run(sampler(), finished.path, Silent()) == finished
    assert {p: p.stat().st_mtime_ns for p in finished.path.rglob("*")} == before
    with pytest.raises(UserError, match=r"--out: .* was made with other settings"):
        run(sampler(seed=3), finished.path, Silent())
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match=r"--out: .* is something else"):
        run(sampler(), tmp_path / "mine", Silent())


def test_the_filter_generates_again_and_counts_what_it_rejects(sampler, tmp_path):
    plain = run(sampler(samples=30), tmp_path / "plain", Silent())
    scores = sorted(row["confidence"] for row in plain.rows)
    strict = sampler(samples=30, min_confidence=scores[len(scores) // 2], max_attempts=3)
    images = run(strict, tmp_path / "out", Silent())
    assert all(row["confidence"] >= strict.settings.min_confidence for row in images.rows)
    assert images.rejected > 0
    assert len(images.rows) + images.rejected <= 30 * 3
    assert run(strict, tmp_path / "out", Silent()).rejected == images.rejected


def test_a_filter_that_nothing_passes_is_reported(sampler, tmp_path):
    with pytest.raises(UserError, match=r"--min-confidence: .* no image .* passed"):
        run(sampler(min_confidence=0.999999, max_attempts=1), tmp_path / "out", Silent())
    assert list(tmp_path.iterdir()) == []
