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

from vitquant.core.torch_private import innermost_function_mode
from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.quantizers import compiled


@pytest.fixture(params=["vit", "swin", "eva02"])
def loaded(request, load):
    return load(request.param)


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
    loaded.load_state_dict({n: t.flip(0) for n, t in loaded.state_dict().items()})
    assert torch.equal(outputs(run, x), outputs(loaded, x))
    assert innermost_function_mode() is None


@pytest.mark.slow
def test_gradients_of_the_images_pass_through_what_is_compiled(loaded, x):
    torch._dynamo.reset()
    run = torch.compile(loaded, backend="aot_eager", fullgraph=True)
    found, expected = (image_gradient(model, x) for model in (run, loaded))
    assert expected.abs().sum() > 0
    torch.testing.assert_close(found, expected)


def image_gradient(model, x):
    images = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(images).square().sum(), images)
    return gradient


@pytest.mark.slow
def test_inductor_compiles_it(load, x):
    if reason := compiled.unavailable_reason("cpu"):
        pytest.skip(f"nothing can be compiled here: {reason}")
    torch._dynamo.reset()
    model = load("vit")
    found = outputs(torch.compile(model), x)
    # Sums in another order may take a value to the other side of a rounding.
    torch.testing.assert_close(found, outputs(model, x), rtol=0, atol=0.3)


def check_open_batch(run, loaded, x):
    for images in (x[:1], x, torch.cat([x, x.flip(0)] * 6)):
        torch.testing.assert_close(outputs(run, images), outputs(loaded, images))


@pytest.mark.slow
@pytest.mark.parametrize("strict", [False, True])
def test_it_is_exported_with_an_open_batch(strict, loaded, x):
    batch = ({0: Dim("batch", min=1, max=64)},)
    program = torch.export.export(loaded, (x,), dynamic_shapes=batch, strict=strict)
    check_open_batch(program.module(), loaded, x)


@pytest.mark.slow
def test_jit_trace_has_an_open_batch_and_can_be_saved(loaded, x):
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(loaded, x), file := io.BytesIO())
    file.seek(0)
    check_open_batch(torch.jit.load(file), loaded, x)


def test_fx_traces_it_and_its_graph_can_be_sent(loaded, x):
    before = set(vars(loaded))
    graph = torch.fx.symbolic_trace(loaded)
    graph.graph.lint()
    check_open_batch(pickle.loads(pickle.dumps(graph)), loaded, x)
    added = [getattr(loaded, name) for name in set(vars(loaded)) - before]
    # What a tracer keeps of tensors that are no parameters: those of the float model, no weight.
    assert not any(t.is_floating_point() and t.shape[-1] > 16 for t in added)


def test_vmap_runs_it_image_by_image(loaded, x):
    with torch.no_grad():
        found = torch.vmap(loaded)(x[:, None])[:, 0]
    torch.testing.assert_close(found, outputs(loaded, x))
