"""How torch's threads wait is chosen before torch is there; small models get one thread."""

import os
import subprocess
import sys

import pytest
import timm
import torch

from vitquant.core.threads import bound_spinning, suited_to
from vitquant.data.sources.noise import NoiseSource
from vitquant.models.model import Model
from vitquant.models.sources import load_float
from vitquant.workflows import ptq

SMALL, LARGE = 1e6, 1e12
COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
WAITING = ("OMP_WAIT_POLICY", "KMP_LIBRARY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

# Says what the environment is when torch is first looked for, and ends there.
LOOK_FOR_TORCH = """
import os, sys
from vitquant.cli import entry

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("KMP_BLOCKTIME"), flush=True)
            os._exit(0)

assert "torch" not in sys.modules
sys.meta_path.insert(0, Watch())
sys.argv = ["vitquant", "quantize", "vit_digits", "--bits", "w4a4", "--method", "rtn"]
entry.run()
print("torch was not looked for")
"""


@pytest.fixture
def free(monkeypatch):
    """No variable names a number of threads, and torch has two."""
    for name in COUNTS:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_spinning_is_bounded_for_every_runtime():
    environment = {"OMP_NUM_THREADS": "4"}
    bound_spinning(environment)
    assert environment.pop("OMP_NUM_THREADS") == "4"
    assert environment == {"GOMP_SPINCOUNT": "20000", "KMP_BLOCKTIME": "1"}


@pytest.mark.parametrize("name", WAITING)
def test_whoever_says_how_threads_wait_is_heard(name):
    environment = {name: "x"}
    bound_spinning(environment)
    assert environment == {name: "x"}


@pytest.mark.parametrize(
    ("given", "found"), [({}, "20000 1"), ({"GOMP_SPINCOUNT": "7"}, "7 None")], ids=str
)
def test_the_program_chooses_before_it_imports_torch(given, found):
    environment = {n: v for n, v in os.environ.items() if n not in WAITING} | given
    command = [sys.executable, "-c", LOOK_FOR_TORCH]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == found + "\n"


def test_a_small_model_has_one_thread_for_a_while(free):
    with suited_to(SMALL):
        assert torch.get_num_threads() == 1
        with suited_to(LARGE):
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_the_number_comes_back_after_an_error(free):
    with pytest.raises(KeyError), suited_to(SMALL):
        raise KeyError
    assert torch.get_num_threads() == 2


def test_a_large_model_keeps_its_threads(free):
    with suited_to(LARGE):
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("name", COUNTS)
def test_a_number_that_is_given_is_kept(name, free, monkeypatch):
    monkeypatch.setenv(name, "2")
    with suited_to(SMALL):
        assert torch.get_num_threads() == 2


def test_the_bundled_models_are_small_and_deit_tiny_is_not(free):
    bundled = load_float("vit_digits")
    with torch.device("meta"):
        deit = timm.create_model("deit_tiny_patch16_224")
    large = Model(deit, bundled.identity, {"input_size": (3, 224, 224)}, None)
    with suited_to(bundled.image_cost):
        assert torch.get_num_threads() == 1
    with suited_to(large.image_cost):
        assert torch.get_num_threads() == 2


def test_quantizing_a_small_model_takes_one_thread(free, make_small, settings, monkeypatch):
    found = []
    compare = ptq.compare
    monkeypatch.setattr(
        ptq, "compare", lambda *a: found.append(torch.get_num_threads()) or compare(*a)
    )
    ptq.quantize(make_small("vit"), NoiseSource(4, (32, 32), 0), settings())
    assert found == [1]
    assert torch.get_num_threads() == 2
