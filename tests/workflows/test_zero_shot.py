"""Zero-shot classification by two towers."""

import json
import shutil

import pytest
import torch
import transformers
from generators.small_tokenizer import write_tokenizer

import vitquant
from vitquant.cli.main import main
from vitquant.data.sources.digits import CLASS_NAMES, digits
from vitquant.evaluation.zero_shot import embed_texts, zero_shot
from vitquant.models.sources import load_float
from vitquant.models.transformers_files import quiet


@pytest.fixture(scope="module")
def towers(folders, tmp_path_factory):
    """A folder with clip, siglip, and both towers of clip quantized; digits by class in data."""
    root = tmp_path_factory.mktemp("towers")
    for name, family in (("clip", "CLIP"), ("siglip", "SigLIP and SigLIP 2")):
        write_tokenizer(shutil.copytree(folders(family), root / name))
    for i, (image, label) in enumerate(digits("test")[:60]):
        (root / "data" / CLASS_NAMES[label]).mkdir(parents=True, exist_ok=True)
        image.save(root / "data" / CLASS_NAMES[label] / f"{i}.png")
    given = {"bits": "w8a8", "method": "rtn", "samples": 32}
    clip = str(root / "clip")
    vitquant.quantize(f"{clip}#text", **given).save(root / "text.safetensors")
    data = str(root / "data")
    vitquant.quantize(clip, calib=data, **given).save(root / "image.safetensors")
    return root


@pytest.fixture
def here(towers, monkeypatch):
    monkeypatch.chdir(towers)
    return towers


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_scores_are_those_of_transformers(here, family):
    image, text = load_float(family), load_float(f"{family}#text")
    texts = [f"a photo of a {name}." for name in CLASS_NAMES]
    pixels = torch.stack([image.transform()(picture) for picture, _ in digits("test")[:20]])
    tokens = transformers.AutoTokenizer.from_pretrained(family)(
        texts, padding="max_length", max_length=16, truncation=True, return_tensors="pt"
    )
    with quiet(), torch.no_grad():
        theirs = transformers.AutoModel.from_pretrained(family).eval()
        expected = theirs(input_ids=tokens.input_ids, pixel_values=pixels)
        cosines = expected.image_embeds @ expected.text_embeds.T
        model = zero_shot(image, embed_texts(text, texts, 4, "cpu"), None)
        assert torch.allclose(model(pixels), cosines, atol=1e-4)
    assert torch.equal(model(pixels).argmax(1), expected.logits_per_image.argmax(1))
    assert model.num_classes == 10


def test_both_towers_beside_the_float_ones(here):
    found = vitquant.evaluate(
        "image.safetensors", "data", text_model="text.safetensors", reference="float"
    )
    assert found.found.agreement > 0.9
    alone = vitquant.evaluate("clip", "data", text_model="clip#text")
    assert alone.found.accuracy == found.found.reference
    assert alone.found.images == 60


def test_names_from_a_file_and_a_template(here, capsys):
    (here / "classes.txt").write_text("\n".join(CLASS_NAMES))
    command = ["eval", "image.safetensors", "--text-model", "clip#text", "--data", "digits"]
    assert main([*command, "--classes", "classes.txt", "--template", "the {}", "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["images"] == 500
    assert (found["text_model"], found["template"], found["classes"]) == ("clip#text", "the {}", 10)
    assert "10 classes, such as 'the zero'" in printed.err
    # Without a file, the names are those of the source.
    assert main([*command, "--template", "the {}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1"] == found["top1"]


def test_folders_of_imagenet_have_names(here, capsys):
    shutil.copytree("data/one", "few/n02123045")
    shutil.copytree("data/two", "few/n01440764")
    command = ["eval", "clip", "--text-model", "clip#text", "--data", "few"]
    assert main(command) == 0
    assert "2 classes, such as 'a photo of a tench.'" in capsys.readouterr().err


@pytest.mark.slow
def test_exported_towers(here, capsys):
    vitquant.export("image.safetensors", "image.onnx", images=2, with_preprocessing=True)
    vitquant.export("text.safetensors", "text.onnx", images=2)
    exported = vitquant.evaluate("image.onnx", "data", text_model="text.onnx", reference="clip")
    assert exported.found.agreement > 0.8


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("clip#text --text-model clip#text", "MODEL: clip#text reads texts; with --text-model, an"),
        ("clip --text-model clip", "--text-model: clip reads images; a text tower is accepted"),
        ("clip --text-model nowhere", "--text-model: 'nowhere' is not a model"),
        ("siglip --text-model clip#text", "--text-model: clip#text gives 32 numbers for a text, s"),
        ("vit_digits --text-model clip#text", "--text-model: vit_digits has a classifier of 10 cl"),
        ("clip --text-model clip#text --template a", "--template: 'a' has no single {}"),
        ("clip --template {}", "--template: it goes with --text-model"),
        ("clip --text-model clip#text --gallery data", "--gallery: --text-model makes classes of"),
        ("clip#text --gallery data --data texts.txt", "--gallery: clip#text reads texts"),
        ("clip#text --reference clip#text", "--data data: the model reads texts"),
        ("clip#text --data texts.txt", "MODEL: clip#text has no classifier"),
        ("clip --text-model clip#text --ignore-unknown", "--ignore-unknown: without --classes"),
        ("clip --text-model clip#text --classes one.txt", "--data data: 'eight' is no class"),
        ("clip --text-model clip#text --data data/one", "--data data/one: the images lie in no"),
    ],
)
def test_what_does_not_go_together(here, capsys, command, complaint):
    (here / "one.txt").write_text("cat\ndog")
    (here / "texts.txt").write_text("cat\ndog")
    data = [] if "--data" in command else ["--data", "data"]
    assert main(["eval", *command.split(), *data]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith(f"vitquant: {complaint}")
