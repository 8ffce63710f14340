"""A folder of drawn images: its index, its filter, and that interruptions change nothing."""

import json

import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor

from vitquant.data.source import Role, open_source
from vitquant.errors import UserError
from vitquant.progress import Silent
from vitquant.synthesis.diffusion.learn_job import Learning, learn_prompts
from vitquant.synthesis.diffusion.prompt_sets import LearnedModes, TemplateModes
from vitquant.synthesis.diffusion.prompt_text import described
from vitquant.synthesis.diffusion.sample_job import Synthesis, synthesize
from vitquant.synthesis.image_folder import DrawnSource, read_index
from vitquant.synthesis.quality import coverage, measure
from vitquant.synthesis.settings import DrawSettings, LearnSettings


@pytest.fixture
def make(model, generator, chosen):
    """make(…settings) → a Synthesis of three classes from two texts."""

    def build(modes=None, **changes):
        settings = DrawSettings(**{"samples": 14, "batch_size": 4} | changes)
        return Synthesis(
            model, generator, chosen, modes or TemplateModes(tuple(described(2))), settings
        )

    return build


def contents(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_images_lie_by_class_and_the_index_tells_where_they_come_from(make, tmp_path):
    images = synthesize(make(), tmp_path / "out", Silent())
    rows = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").open()]
    assert rows == images.rows
    assert len(rows) == 12  # four for each class: fourteen cannot be divided
    assert [row["mode"] for row in rows[:4]] == [0, 1, 0, 1]
    assert rows[0]["prompt"] == "a bright photo of a small zero"
    assert {row["file_name"].split("/")[0] for row in rows} == {"zero", "one", "two"}
    assert len({row["seed"] for row in rows}) == 12
    with Image.open(tmp_path / "out" / rows[0]["file_name"]) as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "metadata.jsonl", "one", "two", "vitquant.json", "zero",
    ]  # fmt: skip


def test_an_image_can_be_drawn_again_from_its_row(make, tmp_path, generator, chosen):
    from vitquant.core.seeds import noise

    synthesis = make()
    row = synthesize(synthesis, tmp_path / "out", Silent()).rows[5]
    subject = chosen[row["class"]]
    told = synthesis.modes.told(generator, subject)[row["mode"]]
    image = generator.draw(told[None], noise((1, *generator.noise_shape), row["seed"]))
    source = DrawnSource(tmp_path / "out", "synthetic")
    stored = pil_to_tensor(source.image(5))
    assert (image[0] * 255 - stored).abs().max() <= 1


def test_other_readers_find_classes_and_images(make, tmp_path, model):
    synthesize(make(), tmp_path / "out", Silent())
    source = open_source(
        str(tmp_path / "out"),
        flag="--calib", classes=model.classes, num_classes=10, role=Role.EVALUATION,
    )  # fmt: skip
    assert len(source) == 12
    assert sorted(set(source.labels)) == [0, 1, 2]


def test_the_contact_sheet_has_classes_as_rows_and_modes_as_columns(make, tmp_path):
    images = synthesize(make(), tmp_path / "out", Silent())
    with Image.open(images.sheet) as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (160 + 2 * 64, 3 * 64)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interrupted_run_ends_with_the_same_folder(at, make, tmp_path):
    class Stopping(Silent):
        def track(self, items, total, what):
            for i, item in enumerate(items):
                if i == at:
                    raise KeyboardInterrupt
                yield item

    synthesize(make(), tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        synthesize(make(), tmp_path / "out", Stopping())
    assert not (tmp_path / "out").exists()
    synthesize(make(), tmp_path / "out", Silent())
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


def test_a_finished_folder_is_left_as_it_is(make, tmp_path):
    synthesize(make(), tmp_path / "out", Silent())
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
    synthesize(make(), tmp_path / "out", Silent())
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == before
    with pytest.raises(UserError, match=r"--out: .* was made with other settings"):
        synthesize(make(seed=3), tmp_path / "out", Silent())
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match=r"--out: .* is something else"):
        synthesize(make(), tmp_path / "mine", Silent())


def test_a_damaged_folder_is_told_of(make, tmp_path):
    images = synthesize(make(), tmp_path / "out", Silent())
    file = tmp_path / "out" / images.rows[3]["file_name"]
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"damaged \(zero/00003.png is not the image"):
        read_index(tmp_path / "out")
    file.unlink()
    with pytest.raises(UserError, match="damaged"):
        DrawnSource(tmp_path / "out", "synthetic")


def test_the_filter_draws_again_and_counts_what_it_rejects(make, tmp_path):
    plain = synthesize(make(samples=30), tmp_path / "plain", Silent())
    scores = sorted(row["confidence"] for row in plain.rows)
    limit = scores[len(scores) // 2]
    images = synthesize(
        make(samples=30, min_confidence=limit, attempts=3), tmp_path / "out", Silent()
    )
    assert all(row["confidence"] >= limit for row in images.rows)
    assert images.rejected > 0
    assert len(images.rows) + images.rejected <= 30 * 3
    again = synthesize(
        make(samples=30, min_confidence=limit, attempts=3), tmp_path / "out", Silent()
    )
    assert again.rejected == images.rejected


def test_a_filter_that_nothing_passes_is_reported(make, tmp_path):
    with pytest.raises(UserError, match=r"--min-confidence: .* no image .* passed"):
        synthesize(make(min_confidence=0.999999, attempts=1), tmp_path / "out", Silent())


def test_learned_prompts_are_drawn_from(make, tmp_path, model, generator, chosen):
    learning = Learning(model, generator, chosen, LearnSettings(2, steps=2, batch_size=6))
    modes = LearnedModes(learn_prompts(learning, tmp_path / "p", Silent()))
    modes.check(generator, chosen)
    learned = synthesize(make(modes), tmp_path / "learned", Silent()).rows
    texts = synthesize(make(), tmp_path / "texts", Silent()).rows
    assert [r["prompt"] for r in learned] == [r["prompt"] for r in texts]
    assert [r["seed"] for r in learned] == [r["seed"] for r in texts]
    assert [r["sha256"] for r in learned] != [r["sha256"] for r in texts]


def test_prompts_of_another_generator_or_other_classes_are_refused(
    tmp_path, model, generator, chosen, loaded
):
    learning = Learning(model, generator, chosen[:2], LearnSettings(2, steps=1, batch_size=6))
    modes = LearnedModes(learn_prompts(learning, tmp_path / "p", Silent()))
    with pytest.raises(UserError, match=r"--prompts: .* has no prompts for 'two'"):
        modes.check(generator, chosen)
    modes.file.header["generator"] = {"name": "elsewhere/other", "sha256": "0"}
    with pytest.raises(UserError, match="was learned with the generator 'elsewhere/other'"):
        modes.check(generator, chosen[:2])


def test_quality_is_the_models_own_view(make, tmp_path, model):
    synthesize(make(), tmp_path / "out", Silent())
    source = DrawnSource(tmp_path / "out", "synthetic")
    quality = measure(model, source, "cpu", real=source)
    rows = read_index(tmp_path / "out")
    assert quality.top1 == pytest.approx(sum(r["recognised"] for r in rows) / len(rows))
    assert -1 <= quality.similarity <= 1
    assert quality.coverage == 1
    assert measure(model, source, "cpu").coverage is None


def test_coverage_counts_the_real_samples_that_have_something_near():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    assert coverage(real, torch.tensor([[1.0]]), neighbours=2) == 0.5
    assert coverage(real, torch.tensor([[1.0], [11.0]]), neighbours=2) == 1
    assert coverage(real, torch.tensor([[100.0]]), neighbours=2) == 0
