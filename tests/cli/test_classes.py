"""``--classes``: what the outputs of a model without class names are called."""

import pytest
from PIL import Image
from safetensors.torch import save_file

from vitquant.data.sources.digits import CLASS_NAMES
from vitquant.models.sources import load_float

# Neither the order of the outputs here nor that of torchvision's ImageFolder is natural.
NAMES = ["apple", "Bear", "cat", "Dog", "eel", "Fox", "goat", "Hen", "ibis", "Jay"]


@pytest.fixture
def trained(tmp_path, digits_by_class):
    """What a user has whose eleven classes ``ImageFolder`` has numbered: weights and images.

    No picture is of the eleventh class, but one.
    """
    state = {n: t.clone() for n, t in load_float("vit_digits").module.state_dict().items()}
    order = [NAMES.index(name) for name in sorted(NAMES)]
    weight, bias = state["head.weight"][order], state["head.bias"][order]
    state["head.weight"] = weight.new_zeros(11, 96)
    state["head.bias"] = bias.new_full((11,), -50.0)
    state["head.weight"][:10], state["head.bias"][:10] = weight, bias
    save_file(state, tmp_path / "eleven.safetensors")
    (tmp_path / "data" / "zebra").mkdir(parents=True)
    for digit, name in zip(CLASS_NAMES, NAMES, strict=True):
        (tmp_path / "data" / name).symlink_to(digits_by_class / digit)
    Image.new("RGB", (32, 32)).save(tmp_path / "data/zebra/0.png")
    (tmp_path / "names.txt").write_text("\n".join([*sorted(NAMES), "zebra"]) + "\n")
    weights = ("--weights", tmp_path / "eleven.safetensors", "--num-classes", 11)
    return weights, tmp_path / "data", tmp_path / "names.txt"


def test_an_order_that_is_not_image_folders(vitquant, trained):
    weights, data, names = trained
    asked = ("eval", "vit_digits", *weights, "--data", data, "--json")
    ended = vitquant(*asked)
    assert ended.json["top1"] < 0.5
    (warning,) = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    for words in ("natural order, 'apple' before 'Bear'", "has 'Bear' first", "--classes FILE"):
        assert words in warning
    ended = vitquant(*asked, "--classes", names)
    assert ended.json["top1"] > 0.9
    assert "warning" not in ended.err


def test_names_travel_with_a_checkpoint(vitquant, trained, tmp_path):
    weights, data, names = trained
    brief = ("--bits", "w8a8", "--method", "rtn", "--calib", data, "--samples", 16)
    out = ("--out", "q.safetensors")
    ended = vitquant("quantize", "vit_digits", *brief, *weights, *out, "--classes", names)
    assert ended.code == 0
    ended = vitquant("eval", "q.safetensors", "--data", data, "--json")
    assert ended.json["top1"] > 0.9
    assert "warning" not in ended.err
    # Others win over those of the checkpoint.
    lines = names.read_text().splitlines()
    (tmp_path / "turned.txt").write_text("\n".join(lines[1:] + lines[:1]))
    asked = ("eval", "q.safetensors", "--data", data, "--json", "--classes", "turned.txt")
    assert vitquant(*asked).json["top1"] == 0


def test_files_that_cannot_be_used(vitquant, tmp_path, digits_by_class):
    quantize = ("quantize", "vit_digits", "--bits", "w8a8", "--method", "rtn", "--calib", "digits")
    for command in (quantize, ("eval", "vit_digits", "--data", digits_by_class)):
        vitquant(*command, "--classes", "none.txt").refused("--classes", "none.txt", "No such file")
        for text, words in (
            ("a\nb\n", ("2 lines", "10 classes")),
            ("", ("empty",)),
            ("\n".join("abcdefghii"), ("'i' more than once",)),
        ):
            (tmp_path / "names.txt").write_text(text)
            vitquant(*command, "--classes", "names.txt").refused("--classes: names.txt", *words)
        (tmp_path / "names.txt").write_bytes(b"\xff\xfe\xff")
        vitquant(*command, "--classes", "names.txt").refused("names.txt", "not UTF-8")
    (tmp_path / "names.txt").write_text("\n".join("abcdefghij"))
    asked = ("--classes", "names.txt", "--out", "names.txt")
    vitquant(*quantize, *asked).refused("--out")
    assert (tmp_path / "names.txt").read_text() == "\n".join("abcdefghij")
