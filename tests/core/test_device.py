"""Which device each of several processes gets."""

import pytest
import torch

from vitquant.core import device, distributed
from vitquant.core.errors import UserError


@pytest.fixture
def third_of_four(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    monkeypatch.setattr(distributed, "rank", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")


def test_processes_on_a_cpu(third_of_four):
    assert device.resolve_device("cpu") == "cpu"
    assert device.describe_device("cpu") == "4 processes, each on cpu"


@pytest.mark.parametrize("name", ["cuda:1", "mps"])
def test_one_device_is_not_divided(name, third_of_four):
    with pytest.raises(UserError, match=f"--device: '{name}' cannot be divided"):
        device.resolve_device(name)


def test_each_process_needs_a_gpu_of_its_own(third_of_four, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"--device: each process needs .* there are 2;"):
        device.resolve_device("auto")


def test_each_process_gets_its_gpu(third_of_four, monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(device, "_checked", lambda name: name)
    assert device.resolve_device("cuda") == "cuda:2"
    assert taken == ["cuda:2"]


def test_alone_a_device_is_what_it_is_called():
    assert device.describe_device("cuda:1") == "cuda:1"
    assert device.resolve_device("cpu") == "cpu"
