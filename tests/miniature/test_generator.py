"""The bundled text-to-image generator, and the script that made it."""

import pytest
import torch
from torchvision.transforms.functional import to_tensor

from vitquant.data.sources.digits import CLASS_NAMES, digits
from vitquant.miniature import train_generator as training
from vitquant.miniature.captioned_digits import CaptionedDigits, all_captions, caption
from vitquant.miniature.drift import drift
from vitquant.miniature.measure_generator import generate, generate_set, load
from vitquant.models.sources import load_float
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.pipeline import GENERATOR, generator_path
from vitquant.synthesis.diffusion.prompt_text import adjective_templates, plain_templates
from vitquant.synthesis.quality import measure


@pytest.fixture(scope="module")
def pipeline():
    return load(generator_path())


@pytest.fixture
def generated_from(pipeline):
    """generated_from(texts) → their images from the same noise each time, (N, 3, 32, 32)."""

    def make(texts):
        return torch.stack([to_tensor(image) for image in generate(pipeline, texts, seed=7)])

    return make


def test_the_folder_is_small_and_holds_nothing_that_could_be_run():
    files = [path for path in generator_path().rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors", ".txt"}
    assert sum(path.stat().st_size for path in files) <= 8_000_000


def test_it_generates_in_one_step_at_its_own_size(pipeline):
    asked = {"num_inference_steps": 1, "guidance_scale": 0.0}
    text = "a photo of the digit three"
    for size in ({}, {"height": 32, "width": 32}):
        image = pipeline(text, **asked, **size).images[0]
        assert (image.size, image.mode) == ((32, 32), "RGB")


def test_every_word_it_was_trained_on_is_one_token(pipeline):
    for text in {each.text for each in all_captions()}:
        assert len(pipeline.tokenizer.tokenize(text)) == len(text.split())


def test_it_reads_any_other_text_too(pipeline):
    text = "vexing jackdaws quiz 42 über 漢字"
    ids = pipeline.tokenizer(text).input_ids
    assert pipeline.tokenizer.unk_token_id not in ids[1:-1]
    assert pipeline.tokenizer.tokenize("A PHOTO") == pipeline.tokenizer.tokenize("a photo")


@pytest.mark.parametrize("make", [plain_templates, adjective_templates])
def test_its_digits_are_classified_correctly(pipeline, make):
    images = generate_set(pipeline, make(20))
    assert measure(load_float("vit_digits"), images, "cpu").top1 >= 0.9


def test_noise_moves_the_image_as_much_as_another_writer_does(generated_from):
    for label, name in enumerate(CLASS_NAMES):
        images = generated_from([f"a photo of a {name}"] * 20)
        real = torch.stack([to_tensor(image) for image, of in digits("test") if of == label])
        assert images.std(dim=0).mean() > 0.5 * real.std(dim=0).mean()


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("bright photo of a", "dark photo of a"),
        ("photo of a bold", "photo of a thin"),
        ("photo of a large", "photo of a small"),
    ],
)
def test_adjectives_change_the_image(generated_from, more, less):
    white = [
        generated_from([f"a {words} {n}" for n in CLASS_NAMES]).mean() for words in (more, less)
    ]
    assert white[0] > 1.1 * white[1]


def test_gradients_reach_the_words(pipeline):
    generator = Generator.load(GENERATOR, "cpu", torch.float32)
    prompt = generator.prompt_tokenizer.prompt("a photo of a {}", "three")
    ids = prompt.ids[None]
    embeddings = generator.embeddings(ids).requires_grad_()
    noise = torch.randn(1, *generator.noise_shape, generator=torch.Generator().manual_seed(0))
    generator.generate(generator.encode(ids, embeddings), noise).sum().backward()
    slopes = embeddings.grad[0].abs().sum(-1)
    assert torch.isfinite(slopes).all()
    assert (slopes[list(prompt.free)] > 0).all()


def test_captions_say_what_is_in_them():
    assert caption(3) == ("a photo of a three", 3, ())
    both = caption(3, "dark", "tilted", digit=True)
    assert both == ("a dark photo of the tilted digit three", 3, ("dark", "tilted"))


def test_templates_are_among_the_captions():
    texts = {each.text for each in all_captions()}
    assert texts >= {
        t.format(name) for t in plain_templates(1) + adjective_templates(64) for name in CLASS_NAMES
    }


def test_words_change_the_digits():
    images = CaptionedDigits(digits("train")[:200])
    bright, dark = images.sample([caption(0, "bright"), caption(0, "dark")], 8).split(8)
    assert bright.shape == (8, 3, 32, 32)
    assert bright.amin() >= -1
    assert bright.amax() <= 1
    assert bright.mean() > dark.mean()


def test_samples_drift_to_the_nearest_real_ones_and_apart():
    generated, real = torch.tensor([[[-0.1], [0.1]]]), torch.tensor([[[-1.0], [1.0]]])
    step = drift(generated, real)
    assert step.shape == generated.shape
    assert step[0, 0] < 0 < step[0, 1]


def test_a_run_writes_the_same_loadable_folder_for_the_same_seed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "report", lambda folder: f"measured {folder}")
    files = []
    for name, seed in (("one", "5"), ("two", "5"), ("other", "6")):
        folder = tmp_path / name
        training.main(["--steps", "1", "--seed", seed, "--out", str(folder)])
        assert capsys.readouterr().out == f"measured {folder}\n"
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files.append({str(path.relative_to(folder)): path.read_bytes() for path in paths})
    assert files[0] == files[1]
    bundled = generator_path()
    assert {str(path.relative_to(bundled)) for path in bundled.rglob("*.*")} == set(files[0])
    changed = {name for name in files[0] if files[0][name] != files[2][name]}
    assert changed == {name for name in files[0] if name.endswith(".safetensors")}
    assert len(generate(load(tmp_path / "one"), ["a photo of a three"])) == 1


@pytest.mark.parametrize(
    ("arguments", "named"), [(["--steps", "0"], "--steps"), (["--out", "missing/it"], "--out")]
)
def test_a_wrong_argument_is_named_before_any_training(
    arguments, named, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        training.main(arguments)
    assert named in capsys.readouterr().err
