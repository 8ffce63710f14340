"""Which precision and which form of the quantizers a training step gets."""

import pytest
import torch

from vitquant.core.errors import UserError
from vitquant.core.progress import Silent
from vitquant.quantization.layers.attention import fake_quant_matmul
from vitquant.quantization.quantizers import compiled as compiled_kernels
from vitquant.quantization.quantizers.grid import activation_grid
from vitquant.quantization.training.precision import StepPrecision, choose_precision

CPU = torch.device("cpu")


@pytest.fixture
def compiler(monkeypatch):
    """compiler(reason): whether quantizers can be compiled, without trying."""
    return lambda reason: monkeypatch.setattr(
        compiled_kernels, "unavailable_reason", lambda device: reason
    )


@pytest.fixture
def hardware(monkeypatch):
    """hardware(**capabilities) of the CPU."""

    def have(**capabilities):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return have


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("known", [{}, {"avx512_bf16": True}])
def test_a_precision_that_is_asked_for_is_taken(precision, known, settings, hardware, compiler):
    compiler("")
    hardware(**known)
    chosen = choose_precision(settings(method="joint", precision=precision), CPU, Silent())
    assert chosen.dtype == getattr(torch, precision)


@pytest.mark.parametrize(
    ("known", "dtype"),
    [
        ({}, torch.float32),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_auto_takes_bfloat16_where_the_hardware_has_it(known, dtype, settings, hardware, compiler):
    compiler("")
    hardware(**known)
    assert choose_precision(settings(method="joint"), CPU, Silent()).dtype == dtype


def test_other_precisions_are_refused(settings):
    with pytest.raises(UserError, match=r"--precision: 'float16' .*: auto, float32, bfloat16"):
        settings(method="joint", precision="float16")


def test_quantizers_are_compiled_where_they_can_be(settings, compiler):
    compiler("")
    assert choose_precision(settings(method="joint"), CPU, Silent()).compiled
    assert choose_precision(settings(method="joint", compile=True), CPU, Silent()).compiled
    assert not choose_precision(settings(method="joint", compile=False), CPU, Silent()).compiled


def test_what_is_trained_sooner_than_compiled_is_not_compiled(settings, compiler):
    compiler("")
    short = {"method": "joint", "steps": 100, "batch_size": 10}
    assert choose_precision(settings(**short), CPU, Silent(), 1e9).compiled
    assert not choose_precision(settings(**short), CPU, Silent(), 1e6).compiled
    assert choose_precision(settings(**short, compile=True), CPU, Silent(), 1e6).compiled


def test_without_a_compiler_it_says_so_and_goes_on(settings, compiler, listener):
    compiler("no c++ anywhere")
    assert not choose_precision(settings(method="joint"), CPU, listener).compiled
    assert len(listener.said) == 1
    assert "no c++ anywhere" in listener.said[0]


def test_without_a_compiler_what_needs_it_is_refused(settings, compiler):
    compiler("no c++ anywhere")
    with pytest.raises(UserError, match=r"--compile: .*no c\+\+ anywhere.*--no-compile"):
        choose_precision(settings(method="joint", compile=True), CPU, Silent())


def test_nobody_looks_for_a_compiler_that_is_not_wanted(settings, monkeypatch):
    monkeypatch.setattr(
        compiled_kernels, "unavailable_reason", lambda device: pytest.fail("looked")
    )
    assert not choose_precision(settings(method="joint", compile=False), CPU, Silent()).compiled


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_alone_are_of_low_precision(dtype):
    x = torch.ones(2, 2)
    with StepPrecision(CPU, dtype, compiled=False).autocast():
        assert (x @ x).dtype == dtype
        assert x.sum().dtype == (x + x).dtype == torch.float32
    assert (x @ x).dtype == torch.float32


@pytest.mark.parametrize("compiled", [False, True])
def test_quantizers_are_compiled_inside_alone(compiled):
    student = fake_quant_matmul(activation_grid(4))
    with StepPrecision(CPU, torch.float32, compiled).compiled_quantizers(student):
        assert student.compiled == compiled
    assert not student.compiled


def test_it_tells_what_it_is():
    assert str(StepPrecision(CPU, torch.bfloat16, True)) == "bfloat16, compiled quantizers"
    assert str(StepPrecision(CPU, torch.float32, False)) == "float32"
