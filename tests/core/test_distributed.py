"""Several processes do what one does. torchrun runs this file itself too, for the exchanges."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.core import distributed
from vitquant.data.image_source import ListSource
from vitquant.data.sources.digits import digits
from vitquant.quantization.graph.observe import observe
from vitquant.quantization.graph.points import find_points
from vitquant.workflows.open import open_model

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
PROGRAM = ["-m", "vitquant"]
TIMEOUT = 300


def run(command, cwd):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def both(arguments, cwd, processes=2):
    """The results of one process, and of several, as JSON."""
    found = []
    for launcher in ([sys.executable], [*TORCHRUN, processes]):
        ended = run([*launcher, *PROGRAM, *arguments, "--json"], cwd)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count("\n") == 1
        found.append((json.loads(ended.stdout), ended.stderr))
    return found


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    """(folder, [(JSON, stderr) of one process, of two]), with an odd number of images in a step."""
    folder = tmp_path_factory.mktemp("parallel")
    arguments = ["quantize", "vit_digits", "--bits", "w8a8", "--calib", "digits", "--samples", 32]
    arguments += ["--steps", 3, "--batch-size", 7, "--init-images", 9, "--seed", 1]
    arguments += ["--precision", "float32", "--no-compile", "--out"]
    found = []
    for name, launcher in (("one", [sys.executable]), ("two", [*TORCHRUN, 2])):
        command = [*launcher, *PROGRAM, *arguments, folder / f"{name}.safetensors", "--json"]
        ended = run(command, folder)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count("\n") == 1
        found.append((json.loads(ended.stdout), ended.stderr))
    return folder, found


@pytest.mark.slow
def test_two_processes_find_what_one_finds(quantized):
    folder, [(one, _), (two, _)] = quantized
    assert (one["processes"], two["processes"]) == (1, 2)
    assert [entry["step"] for entry in two["history"]] == [1, 2, 3]
    # After a step, rounding grows: Adam gives a gradient that is zero but for rounding a full step.
    # The same batch in two parts (--accumulate 2) comes as far from one process as this.
    for a, b, off in zip(one["history"], two["history"], (1e-5, 5e-2, 0.2), strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=off)
    assert two["agreement"] == pytest.approx(one["agreement"], abs=0.04)
    models = [restore(read_checkpoint(folder / f"{name}.safetensors")) for name in ("one", "two")]
    states = [dict(model.module.named_buffers()) for model in models]
    for name, ours in states[0].items():
        theirs = states[1][name]
        if name.endswith(".weight"):
            step = states[0][name.removesuffix("weight") + "scale"].max()
            assert (ours - theirs).abs().max() < 2.5 * step
            assert (ours - theirs).abs().mean() < 0.1 * step
        elif name.endswith("scale"):
            assert torch.allclose(ours, theirs, rtol=2e-2)
    images = [models[0].transform()(image) for image, _ in digits("test")[:50]]
    with torch.inference_mode():
        outputs = [model.module(torch.stack(images)) for model in models]
    assert (outputs[0] - outputs[1]).square().mean().sqrt() < 0.03 * outputs[0].std()


@pytest.mark.slow
def test_one_process_talks(quantized):
    _, [(_, alone), (_, together)] = quantized
    assert "2 processes, each on cpu" in together
    assert together.count("vit_digits to w8a8") == alone.count("vit_digits to w8a8") == 1
    assert together.count("agreement with float") == 1


@pytest.mark.slow
def test_two_processes_count_what_one_counts(quantized):
    folder, _ = quantized
    asked = ["eval", folder / "two.safetensors", "--data", "digits", "--reference", "float"]
    (one, _), (two, err) = both(asked, folder)
    same = ("images", "top1", "top5", "agreement", "drop", "reference")
    assert [two[key] for key in same] == [one[key] for key in same]
    assert err.count("500 images of digits") == 1


def complaints(ended):
    return [line for line in ended.stderr.splitlines() if line.startswith("vitquant: ")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quantize", "vit_digits", "--bits", "w4a4", "--batch-size", 1], "--batch-size: 1 cannot"),
        (["eval", "vit_digits"], "broken.png"),
    ],
)
def test_an_error_is_told_once(arguments, words, tmp_path):
    """One that all processes run into, and one that lies in the last one's share of the images."""
    for label, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        for i, image in enumerate([image for image, of in digits("test") if of == label + 1][:3]):
            image.save(tmp_path / name / f"{i}.png")
    if arguments[0] == "eval":
        (tmp_path / "two" / "broken.png").write_bytes(b"no picture")
        arguments = [*arguments, "--batch-size", 2, "--data", tmp_path]
    else:
        arguments = [*arguments, "--calib", tmp_path]
    ended = run([*TORCHRUN, 2, *PROGRAM, *arguments], tmp_path)
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert len(complaints(ended)) == 1
    assert words in complaints(ended)[0]
    assert "exitcode  : 2" in ended.stderr
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.slow
def test_exchanges(tmp_path):
    ended = run([*TORCHRUN, 2, __file__, tmp_path], tmp_path)
    assert ended.returncode == 0, ended.stderr
    found = [load_file(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    for name, ours in found[0].items():
        assert torch.equal(ours, found[1][name]), name
    assert found[0]["sum"].tolist() == [3.0, 5.0, 7.0]
    assert found[0]["flag"].item() is True
    assert found[0]["gathered"].tolist() == [[0.0], [1.0], [1.0]]
    assert found[0]["largest"].tolist() == [5.0, 9.0]
    assert found[0]["totals"].tolist() == [1.0, 2.0]
    assert found[0]["told"].tolist() == [0, 7]
    assert found[0]["floats"].tolist() == [1.0, 1.0, 3.0, 3.0]
    assert found[0]["integer"].item() == 0


def test_samples_do_not_depend_on_who_has_which_images(tmp_path):
    model, images = _calibration()
    points = find_points(model.module, images[:2], model.tokens)
    whole = observe(model.module, images, points, seed=5)
    parts = []
    for share in (range(2), range(2, 5)):
        parts.append(observe(model.module, images[share], points, 5, share, len(images)))
    for name, sample in whole.layers.items():
        rows = torch.cat([part.layers[name].rows for part in parts])
        torch.testing.assert_close(rows, sample.rows, rtol=1e-4, atol=1e-5)
        peak = torch.stack([part.layers[name].channel_max for part in parts]).amax(0)
        torch.testing.assert_close(peak, sample.channel_max, rtol=1e-4, atol=1e-5)
        prefix_rows = torch.cat([part.layers[name].prefix_rows for part in parts])
        torch.testing.assert_close(prefix_rows, sample.prefix_rows, rtol=1e-4, atol=1e-5)
    for key, operands in whole.matmuls.items():
        for side, operand in enumerate(operands):
            found = torch.cat([part.matmuls[key][side] for part in parts])
            torch.testing.assert_close(found, operand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("count", "unit"), [(7, 1), (2, 1), (500, 64), (10, 64), (0, 3)])
def test_shares_are_everything_once_and_in_order(count, unit, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shares.append(distributed.rank_slice(count, unit))
    assert [i for share in shares for i in share] == list(range(count))
    assert all(share.start % unit == 0 for share in shares if len(share))
    if unit == 1:
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_nothing_happens():
    x = torch.ones(3)
    distributed.all_reduce([x])
    distributed.broadcast([x])
    assert torch.equal(x, torch.ones(3))
    assert distributed.all_gather(x) is x
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert distributed.broadcast_object({"a": 1}) == {"a": 1}
    assert distributed.claim("speak")


def _calibration():
    """A model whose attentions have windows, and five images."""
    model = open_model("swin_digits")
    source = ListSource("digits", [image for image, _ in digits("test")[:5]])
    transform = model.transform()
    return model, torch.stack([transform(source.image(i)) for i in range(5)])


def _main(folder):
    from safetensors.torch import save_file

    distributed.init()
    rank = distributed.rank()
    summed, flag = torch.tensor([1.0, 2.0, 3.0]) + rank, torch.tensor(rank == 1)
    distributed.all_reduce([summed, flag])
    ours = [torch.full((2,), float(rank + 1)), torch.tensor(rank), torch.full((1, 2), rank + 3.0)]
    distributed.broadcast(ours)
    told = distributed.broadcast_object({"seven": 7} if rank == 0 else None)
    found = {
        "sum": summed,
        "flag": flag,
        "gathered": distributed.all_gather(torch.full((rank + 1, 1), float(rank))),
        "largest": distributed.all_reduce_max(torch.tensor([5.0 - rank, 8.0 + rank])),
        "totals": torch.tensor(distributed.all_reduce_scalars([rank, 1])),
        "floats": torch.cat([ours[0], ours[2][0]]),
        "integer": ours[1],
        "told": torch.tensor([told["seven"] - 7, told["seven"]]),
    }
    model, images = _calibration()
    points = find_points(model.module, images[:2], model.tokens)
    share = distributed.rank_slice(len(images))
    samples = observe(model.module, images[share], points, 5, share, len(images))
    for name, sample in samples.layers.items():
        found |= {f"{name}/rows": sample.rows, f"{name}/peak": sample.channel_max}
        found |= {f"{name}/leading": sample.prefix_rows}
    for (name, index), (left, right) in samples.matmuls.items():
        found |= {f"{name}/{index}/left": left, f"{name}/{index}/right": right}
    save_file({name: x.contiguous() for name, x in found.items()}, f"{folder}/{rank}.safetensors")
    distributed.destroy()


if __name__ == "__main__":
    _main(sys.argv[1])
