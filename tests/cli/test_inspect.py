"""``vitquant inspect``: the table, the JSON, and the sums."""

import math
import shlex

import pytest

from vitquant.models.sources.from_miniature import weights_path

LAYER = {"name", "kind", "weight_bits", "activation_bits", "shape", "bytes", "sqnr_db"}


def test_json_has_the_keys_of_the_contract(vitquant, checkpoint):
    found = vitquant("inspect", checkpoint, "--json").json
    assert {"layers", "bytes", "float_bytes"} <= set(found)
    assert all(set(layer) >= LAYER for layer in found["layers"])
    # Patch embedding, four Linears in each of four blocks, head; two products a block.
    assert [layer["kind"] for layer in found["layers"]].count("linear") == 17
    assert [layer["kind"] for layer in found["layers"]].count("conv2d") == 1
    assert [layer["kind"] for layer in found["layers"]].count("matmul") == 8
    assert found["bytes"] == checkpoint.stat().st_size


def test_every_byte_is_accounted_for(vitquant, checkpoint):
    found = vitquant("inspect", checkpoint, "--json").json
    tensors = sum(row["bytes"] for part in ("layers", "kept_float") for row in found[part])
    header = 8 + int.from_bytes(checkpoint.read_bytes()[:8], "little")
    assert tensors + header == found["bytes"]


def test_what_stayed_float_says_why(vitquant, checkpoint):
    found = vitquant("inspect", checkpoint, "--json").json
    why = {row["name"]: row["why"] for row in found["kept_float"]}
    assert why["pos_embed"] == "added to the residual stream"
    assert why["norm.weight"] == "normalization"
    assert found["float_operations"]


def test_what_is_kept_float_is_listed(vitquant, digits_by_class):
    arguments = ("--calib", digits_by_class, "--method", "rtn", "--samples", 8, "--bits", "w4a4")
    kept = ("--keep-float", "blocks.0.mlp,head", "--keep-float", "blocks.1.attn.products")
    done = vitquant("quantize", "vit_digits", *arguments, *kept, "--json").json
    names = ["blocks.0.mlp.fc1", "blocks.0.mlp.fc2", "blocks.1.attn.products", "head"]
    assert sorted(done["float_parts"]) == names
    assert done["settings"]["keep_float"] == "blocks.0.mlp,head,blocks.1.attn.products"
    found = vitquant("inspect", done["output"], "--json").json
    why = {row["name"]: row["why"] for row in found["kept_float"]}
    assert why["head.weight"] == why["blocks.0.mlp.fc1.bias"] == "kept float by --keep-float"
    assert not {f"blocks.1.attn.products.{i}" for i in (0, 1)} & {
        r["name"] for r in found["layers"]
    }
    shown = vitquant("inspect", done["output"])
    assert all(f"computed in float: {name}: kept float" in shown.out for name in names)
    assert "--keep-float blocks.0.mlp,head,blocks.1.attn.products" in shown.out
    recipe = vitquant("inspect", done["output"], "--recipe").out
    assert 'keep_float = "blocks.0.mlp,head,blocks.1.attn.products"' in recipe
    refused = vitquant("quantize", "vit_digits", *arguments, "--keep-float", "blocks.0.mpl")
    refused.refused("--keep-float: 'blocks.0.mpl'", "blocks.0.mlp")
    refused = vitquant("quantize", "vit_digits", *arguments, "--keep-float", "*")
    refused.refused("MODEL: vit_digits", "left to quantize")


def test_bits_of_layers_are_shown(vitquant, digits_by_class, tmp_path):
    arguments = ("--calib", digits_by_class, "--method", "rtn", "--samples", 8, "--bits", "w4a4")
    own = ("--layer-bits", "blocks.*.mlp.fc2=w2a8,head=w8a8")
    own += ("--layer-bits", "blocks.0.attn.products.1=w8a3")
    done = vitquant("quantize", "vit_digits", *arguments, *own, "--json")
    assert "head w4a4, others by name)" in done.err
    text = "blocks.*.mlp.fc2=w2a8,head=w8a8,blocks.0.attn.products.1=w8a3"
    assert (done.json["bits"], done.json["settings"]["layer_bits"]) == ("w4a4", text)
    output = done.json["output"]
    found = vitquant("inspect", output, "--json").json
    widths = {r["name"]: (r["weight_bits"], r["activation_bits"]) for r in found["layers"]}
    assert widths["blocks.1.mlp.fc2"] == (2, 8)
    assert widths["head"] == widths["patch_embed.proj"] == (8, 8)
    assert widths["blocks.0.attn.products.1"] == (None, 3)
    assert widths["blocks.0.mlp.fc1"] == (4, 4)
    # Of 26, 6 have 8 bits and one 3.
    assert found["mean_activation_bits"] == round((19 * 4 + 6 * 8 + 3) / 26, 4)
    counted = [(r["shape"], r["weight_bits"]) for r in found["layers"] if r["shape"]]
    counts = [math.prod(shape) for shape, _ in counted]
    total = sum(n * bits for n, (_, bits) in zip(counts, counted, strict=True))
    assert found["mean_weight_bits"] == round(total / sum(counts), 4)
    shown = vitquant("inspect", output).out
    mixed = f"w4a4 mixed ({found['mean_weight_bits']:.2f} bits a weight, 4.88 an activation) for"
    assert mixed in shown
    command = shlex.split(shown.splitlines()[-2].removeprefix("made by: vitquant "))
    assert command[command.index("--layer-bits") + 1] == text
    recipe = vitquant("inspect", output, "--recipe").out
    assert recipe.partition("[layer_bits]\n")[2].splitlines() == [
        '"blocks.*.mlp.fc2" = "w2a8"', '"head" = "w8a8"', '"blocks.0.attn.products.1" = "w8a3"',
    ]  # fmt: skip
    (tmp_path / "mine.toml").write_text(recipe)
    for name, again in (("a", command), ("b", ["quantize", "vit_digits", "--recipe", "mine.toml"])):
        assert vitquant(*again, "--out", f"{name}.safetensors").code == 0
        assert (tmp_path / f"{name}.safetensors").read_bytes() == (tmp_path / output).read_bytes()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--layer-bits", "blocks.0.mpl=w8a8"), ("'blocks.0.mpl' names no", "blocks.0.mlp")),
        (("--layer-bits", "blocks.0.mlp"), ("is not PATTERN=BITS",)),
        (("--layer-bits", "head=w9a8"), ("head: 'w9a8' is not a bit width",)),
        (("--layer-bits", "head=w8a8", "--layer-bits", "head=w8a8"), ("head is there twice",)),
        (("--layer-bits", "head=w8a8", "--keep-float", "head"), ("is kept float by --keep-float",)),
    ],
)
def test_bits_of_layers_that_cannot_be(given, words, vitquant, digits_by_class):
    arguments = ("--calib", digits_by_class, "--method", "rtn", "--bits", "w4a4")
    ended = vitquant("quantize", "vit_digits", *arguments, *given)
    ended.refused("--layer-bits: ", *words)


def test_the_table_is_whole_in_a_pipe(vitquant, checkpoint):
    ended = vitquant("inspect", checkpoint)
    assert ended.code == 0
    assert ended.err == ""
    assert all(f"blocks.{i}.attn.qkv" in ended.out for i in range(4))
    assert "SQNR dB" in ended.out
    assert "normalization" in ended.out
    assert "times smaller" in ended.out
    assert "\x1b" not in ended.out


def test_the_command_that_made_it_is_shown(vitquant, checkpoint, digits_by_class):
    made_by, _ = vitquant("inspect", checkpoint).out.splitlines()[-2:]
    words = shlex.split(made_by.removeprefix("made by: "))
    assert words[:5] == ["vitquant", "quantize", "vit_digits", "--bits", "w8a8"]
    assert words[words.index("--calib") + 1] == str(digits_by_class)
    assert words[words.index("--method") + 1] == "rtn"


@pytest.mark.parametrize("make", ["missing", "text", "cut", "foreign"])
def test_files_that_cannot_be_used(make, vitquant, checkpoint, tmp_path):
    path = tmp_path / "file.safetensors"
    if make == "text":
        path.write_text("remember the milk")
    elif make == "cut":
        path.write_bytes(checkpoint.read_bytes()[:1000])
    elif make == "foreign":
        path = weights_path("vit_digits")
    vitquant("inspect", path).refused(str(path))
    vitquant("inspect", path, "--json").refused(str(path))


@pytest.mark.slow
def test_the_command_and_the_recipe_are_what_was_run(vitquant, tmp_path):
    first = ["quantize", "vit_digits", "--bits", "w3a4", "--calib", "digits", "--method", "rtn"]
    first += ["--seed", "5", "--samples", "16", "--init-images", "16", "--head-bits", "w8a8"]
    assert vitquant(*first, "--out", "first.safetensors").code == 0
    made_by = vitquant("inspect", "first.safetensors").out.splitlines()[-2]
    command = shlex.split(made_by.removeprefix("made by: vitquant "))
    assert command == first
    (tmp_path / "mine.toml").write_text(vitquant("inspect", "first.safetensors", "--recipe").out)
    runs = {"second": command, "third": ["quantize", "vit_digits", "--recipe", "mine.toml"]}
    for name, arguments in runs.items():
        assert vitquant(*arguments, "--out", f"{name}.safetensors").code == 0
    files = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("first", *runs)]
    assert files[0] == files[1] == files[2]


def test_one_kind_of_output_at_a_time(vitquant, checkpoint):
    vitquant("inspect", checkpoint, "--json", "--recipe").refused("--recipe: ", "--json")
