"""The bundled tiny decoder, and the script that made it."""

import json

import pytest
from diffusers import AutoencoderTiny

from vitquant.data.sources.digits import digits
from vitquant.miniature import train_decoder as training
from vitquant.miniature.captioned_digits import CaptionedDigits
from vitquant.miniature.measure_generator import load
from vitquant.synthesis.diffusion.pipeline import generator_path, tiny_decoder_path


def test_it_does_what_the_full_decoder_does():
    tiny = AutoencoderTiny.from_pretrained(tiny_decoder_path(), use_safetensors=True)
    images = CaptionedDigits(digits("test"))
    assert training.error(load(generator_path()), tiny, images) < 0.05


def test_the_folder_is_small_and_holds_nothing_that_could_be_run():
    files = list(tiny_decoder_path().iterdir())
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert sum(path.stat().st_size for path in files) < 50_000


def test_the_script_writes_the_same_decoder_for_the_same_seed(tmp_path, capsys):
    weights = []
    for name, seed in (("one", "5"), ("two", "5"), ("other", "6")):
        training.main(["--steps", "1", "--seed", seed, "--out", str(tmp_path / name)])
        assert "root mean square difference" in capsys.readouterr().out
        weights.append((tmp_path / name / "diffusion_pytorch_model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]
    written = json.loads((tmp_path / "one" / "config.json").read_text())
    bundled = json.loads((tiny_decoder_path() / "config.json").read_text())
    assert {k for k in bundled if bundled[k] != written[k]} <= {"_diffusers_version"}


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
