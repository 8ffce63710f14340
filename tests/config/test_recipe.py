"""Settings as TOML."""

import shlex

import pytest

from vitquant.config.bits import Bits
from vitquant.config.quantize import METHODS, QuantizeSettings
from vitquant.config.recipe import (
    bundled,
    quantize_command,
    read_recipe,
    stored_settings,
    write_toml,
)
from vitquant.core.errors import UserError

PUBLISHED = {
    "w8a8-rtn": {"bits": "w8a8", "method": "rtn"},
    "w4a4-rtn": {"bits": "w4a4", "method": "rtn"},
    "w4a4-joint": {"bits": "w4a4"},
    "w4a4-joint-prefix8": {"bits": "w4a4", "prefix_bits": 8},
    "w3a3-joint": {"bits": "w3a3"},
    "w1.58a8-joint": {"bits": "w1.58a8"},
}
PAPERS = ("paper-w4a4", "paper-w3a3", "paper-w1.58a8")
DEIT = {"name": "deit_tiny", "tag": "fb_in1k"}


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_recipe_builds(name):
    recipe = read_recipe(name)
    given = {} if "bits" in recipe.values else {"bits": "w4a4"}
    assert QuantizeSettings.build(recipe, **given).method == recipe.values["method"]


def test_what_is_bundled():
    assert bundled() == sorted([*PUBLISHED, *PAPERS, "quick"])
    found = QuantizeSettings.build(read_recipe("paper-w3a3"))
    assert (found.bits, found.steps, found.batch_size) == (Bits(3, 3), 24_000, 32)


@pytest.mark.parametrize(("name", "options"), PUBLISHED.items())
def test_recipes_of_published_rows_are_what_was_run(name, options):
    assert QuantizeSettings.build(read_recipe(name)) == QuantizeSettings.build(**options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("more", [{}, {"calib": 'a "b"\\c\n\x7fä', "rotate": True, "seed": 2**62}])
def test_what_is_written_is_read_back(method, more, tmp_path):
    settings = QuantizeSettings.build(bits="w1.58a8", method=method, init_images=3, **more)
    stored = settings.to_json()
    file = tmp_path / "mine.toml"
    file.write_text(write_toml(stored_settings("w1.58a8", stored), "Mine."))
    assert file.read_text().startswith("# Mine.\n\n[basics]\n")
    assert QuantizeSettings.build(read_recipe(file)) == settings


LAYER_BITS = {'a."b"\\c.*': "w8a8", "blocks.*.mlp.fc2": "w2i16", "ä": "w1.58a3"}


@pytest.mark.parametrize("bits", ["w4a4", "w4a16"])
def test_bits_of_layers_are_the_last_table(bits, tmp_path):
    settings = QuantizeSettings.build(bits=bits, method="rtn", layer_bits=LAYER_BITS, samples=5)
    stored = stored_settings(bits, settings.to_json())
    file = tmp_path / "mine.toml"
    file.write_text(write_toml(stored))
    start, table = file.read_text().split("\n\n[layer_bits]\n")
    assert "layer_bits" not in start
    assert table.splitlines()[1] == '"blocks.*.mlp.fc2" = "w2i16"'
    assert QuantizeSettings.build(read_recipe(file)) == settings
    words = shlex.split(quantize_command(DEIT, bits, settings.to_json()))
    given = words[words.index("--layer-bits") + 1]
    assert QuantizeSettings.build(bits=bits, layer_bits=given).layer_bits == settings.layer_bits
    assert not [word for word in words if "head" in word]


def test_bits_of_layers_may_be_text_or_names_without_quotes(tmp_path):
    file = tmp_path / "mine.toml"
    for text in (
        'layer_bits = "blocks.0.attn=w8a8,head=w8a8"',
        '[layer_bits]\nblocks.0.attn = "w8a8"\nhead = "w8a8"',
        '[quantizers.layer_bits]\n"blocks.0.attn" = "w8a8"\nhead = "w8a8"',
    ):
        file.write_text(text)
        found = QuantizeSettings.build(read_recipe(file), bits="w4a4").layer_bits
        assert str(found) == "blocks.0.attn=w8a8,head=w8a8"
        assert (
            str(
                QuantizeSettings.build(
                    read_recipe(file), bits="w4a4", layer_bits="x=w2a2"
                ).layer_bits
            )
            == "x=w2a2"
        )
    file.write_text('layer_bits = "a=w4a4"\n[x]\nlayer_bits = "b=w4a4"')
    with pytest.raises(UserError, match=r"layer_bits is there twice"):
        read_recipe(file)
    file.write_text('[layer_bits]\n"blocks.0" = "w9a9"')
    with pytest.raises(UserError, match=r"^recipe: .*: layer_bits: blocks.0: 'w9a9' is not a bit"):
        QuantizeSettings.build(read_recipe(file), bits="w4a4")


def test_tables_have_no_meaning(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('steps = 3\n[whatever]\nmethod = "block"\nlr_scales = 1e-05\n')
    assert read_recipe(file).values == {"steps": 3, "method": "block", "lr_scales": 1e-5}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"steps = ", "is not TOML: "),
        (b"\xff", "is not UTF-8; a TOML file is accepted"),
        (b"a = 1\n[b]\na = 2", "a is there twice; once is accepted"),
    ],
)
def test_an_unusable_file_is_named(text, words, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(text)
    with pytest.raises(UserError, match=f"^--recipe: {file}:? {words}"):
        read_recipe(file)


def test_an_unknown_name_is_told_those_that_there_are():
    with pytest.raises(UserError, match=r"^--recipe: mine cannot be read .*, w8a8-rtn$"):
        read_recipe("mine")


def test_a_checkpoint_gives_the_command_that_made_it():
    settings = QuantizeSettings.build(
        bits="w4a4", calib="my images", steps=5, per_head=False, seed=1, compile=True, start="dfq"
    )
    command = quantize_command(DEIT, "w4a4", settings.to_json())
    assert shlex.split(command) == [
        "vitquant", "quantize", "deit_tiny", "--bits", "w4a4", "--calib", "my images",
        "--method", "joint", "--seed", "1", "--no-per-head", "--steps", "5", "--start", "dfq",
        "--compile",
    ]  # fmt: skip


def test_what_an_older_checkpoint_stores_does_not_disturb():
    older = {"method": "rtn", "steps": 800, "accumulate": 1, "scheme": {"bits": "w4a4"}, "seed": 3}
    assert stored_settings("w4a4", older) == {"bits": "w4a4", "method": "rtn", "seed": 3}
    custom = {"name": "deit_tiny", "arguments": {"num_classes": 7}}
    assert quantize_command(custom, "w4a4", older) == (
        "vitquant quantize deit_tiny --bits w4a4 --calib SOURCE --method rtn --weights FILE "
        "--num-classes 7 --seed 3"
    )
