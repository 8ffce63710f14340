"""``vitquant quantize`` under a budget."""

import pytest

BRIEF = ("--method", "rtn", "--sensitivity-images", 4, "--init-images", 4, "--refine", 1)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("VITQUANT_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_a_size(vitquant, digits_by_class, tmp_path):
    asked = ("quantize", "vit_digits", "--calib", digits_by_class, *BRIEF)
    ended = vitquant(*asked, "--max-size", "200kB")
    assert ended.out == "vit_digits-200kB.safetensors\n"
    size = (tmp_path / "vit_digits-200kB.safetensors").stat().st_size
    assert 180_000 < size <= 200_000
    assert "weights of" in ended.err
    found = vitquant("inspect", "vit_digits-200kB.safetensors", "--json").json
    assert len({row["weight_bits"] for row in found["layers"] if row["weight_bits"]}) > 1
    recipe = vitquant("inspect", "vit_digits-200kB.safetensors", "--recipe").out
    (tmp_path / "mixed.toml").write_text(recipe)
    again = vitquant(*asked[:4], "--recipe", "mixed.toml", "--out", "again.safetensors")
    assert again.code == 0
    layers = vitquant("inspect", "again.safetensors", "--json").json["layers"]
    assert layers == found["layers"]


def test_an_agreement(vitquant, digits_by_class):
    asked = ("quantize", "vit_digits", "--calib", digits_by_class, *BRIEF)
    found = vitquant(*asked, "--min-agreement", 0.95, "--json").json
    assert found["output"] == "vit_digits-agreement0.95.safetensors"
    assert found["agreement"] >= 0.95
    assert found["settings"]["allocation"]["min_agreement"] == 0.95


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--max-size", "3MB", "--bits", "w4a4"), ["--bits", "--choices", "leave one"]),
        (("--max-size", "1kB"), ["--max-size", "1kB", "the least", "bytes"]),
        (("--max-size", "lots"), ["--max-size", "lots", "3MB"]),
        (("--max-size", "3MB", "--choices", "w4,a99"), ["--choices", "a99", "a2 to a8"]),
        (("--bits", "w4a4", "--choices", "w4"), ["--choices", "--max-size"]),
        (("--max-size", "3MB", "--layer-bits", "x=w4a4"), ["--layer-bits", "'x'", "names no"]),
    ],
)
def test_refused(options, words, vitquant, digits_by_class, tmp_path):
    given = ("--calib", digits_by_class, *BRIEF[:-2], *options)
    vitquant("quantize", "vit_digits", *given).refused(*words)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_choose_the_same(processes, digits_by_class):
    asked = ("quantize", "vit_digits", "--calib", digits_by_class, *BRIEF, "--max-size", "200kB")
    one, two = (processes(n, *asked, "--out", f"{n}.safetensors", "--json").json for n in (1, 2))
    assert one["settings"]["layer_bits"] == two["settings"]["layer_bits"]
    assert one["bytes"] == two["bytes"] or abs(one["bytes"] - two["bytes"]) < 100
