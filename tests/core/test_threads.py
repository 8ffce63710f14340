"""How torch's threads wait is chosen before torch is there; small models get one thread."""

import pytest
import timm
import torch

from vitquant.core.threads import suited_to
from vitquant.data.sources.noise import NoiseSource
from vitquant.models.model import Model
from vitquant.models.sources import load_float
from vitquant.workflows import ptq

SMALL, LARGE = 1e6, 1e12
COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture
def free(monkeypatch):
    """No variable names a number of threads, and torch has two."""
    for name in COUNTS:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


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
