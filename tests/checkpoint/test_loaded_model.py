"""What a program does with a loaded model: copy it, send it elsewhere, compile it, export it."""

import copy
import io
import multiprocessing
import operator
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from torch.export import Dim

import vitquant
from vitquant.core.torch_private import innermost_function_mode
from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.quantizers import compiled
from vitquant.workflows.ptq import quantize


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder of checkpoints of small models, by family; "other" is a vit with another output."""
    return tmp_path_factory.mktemp("loaded")


@pytest.fixture
def load(files, make_small, images, settings):
    """load(name) → a model from a checkpoint, as ``vitquant.load`` returns it."""

    def make(name):
        if not (files / name).exists():
            family, bits = ("vit", "w3a4") if name == "other" else (name, "w4a4")
            quantize(make_small(family), images, settings(bits)).save(files / name)
        return vitquant.load(files / name)

    return make


@pytest.fixture(params=["vit", "swin", "eva02"])
def loaded(request, load):
    return load(request.param)


@pytest.fixture
def x():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def outputs(model, x):
    return model(x)


def reloaded(model):
    torch.save(model, file := io.BytesIO())
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "again", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy, reloaded]
)
def test_a_copy_computes_the_same(again, loaded, x):
    twin = again(loaded)
    assert torch.equal(outputs(twin, x), outputs(loaded, x))
    with torch.no_grad():
        next(m for m in twin.modules() if isinstance(m, QuantizedMatmul)).left.scale.mul_(3)
    same = torch.equal(outputs(twin, x), outputs(loaded, x))
    assert not same


@pytest.mark.slow
def test_a_pool_of_spawned_processes_runs_it(load, x):
    model = load("vit")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        # Not a function of this file: another process cannot import a test.
        found = pool.submit(operator.call, model, x).result()
    torch.testing.assert_close(found, outputs(model, x))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "backend"),
    [("vit", "eager"), ("vit", "aot_eager"), ("swin", "aot_eager"), ("eva02", "aot_eager")],
)
def test_it_is_compiled_in_one_graph(family, backend, load, x):
    torch._dynamo.reset()
    loaded = load(family)
    run = torch.compile(loaded, backend=backend, fullgraph=True)
    for images in (x, x[:2]):
        assert torch.equal(outputs(run, images), outputs(loaded, images))
    assert innermost_function_mode() is None


@pytest.mark.slow
def test_inductor_compiles_it(load, x):
    if reason := compiled.unavailable_reason("cpu"):
        pytest.skip(f"nothing can be compiled here: {reason}")
    torch._dynamo.reset()
    model = load("vit")
    found = outputs(torch.compile(model), x)
    # Sums in another order may take a value to the other side of a rounding.
    torch.testing.assert_close(found, outputs(model, x), rtol=0, atol=0.3)


@pytest.mark.slow
def test_it_is_exported_with_an_open_batch(loaded, x):
    batch = ({0: Dim("batch", min=1, max=64)},)
    program = torch.export.export(loaded, (x,), dynamic_shapes=batch)
    more = torch.cat([x, x.flip(0), x])
    for images in (x[:1], more):
        torch.testing.assert_close(outputs(program.module(), images), outputs(loaded, images))


@pytest.mark.parametrize("assign", [False, True])
def test_it_takes_the_state_of_another(assign, load, x):
    model, other = load("vit"), load("other")
    before = outputs(model, x)
    state = {n: t for n, t in other.state_dict().items() if n.endswith((".codes", ".scale"))}
    model.load_state_dict(state, strict=False, assign=assign)
    for name, layer in other.named_modules():
        if isinstance(layer, IntLayer):
            assert torch.equal(model.get_submodule(name).weight, layer.weight)
    assert not torch.equal(outputs(model, x), before)


def test_it_is_filled_after_to_empty(load, x):
    model = load("vit")
    expected, state = outputs(model, x), copy.deepcopy(model.state_dict())
    model.to_empty(device="meta").to_empty(device="cpu").load_state_dict(state)
    assert torch.equal(outputs(model, x), expected)
