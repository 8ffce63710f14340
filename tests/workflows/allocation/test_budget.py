"""A budget becomes bits for each layer, and a file that keeps it."""

import pytest
import torch

import vitquant
from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.checkpoint.write import checkpoint_bytes
from vitquant.config.bits import Bits
from vitquant.config.quantize import QuantizeSettings
from vitquant.core.errors import UserError
from vitquant.core.progress import Silent
from vitquant.data.class_names import LabelSpace
from vitquant.data.open import Role, open_source
from vitquant.data.sources.noise import NoiseSource
from vitquant.exporters.onnx.export import to_onnx
from vitquant.models.sources import load_float
from vitquant.quantization.graph.keep_float import KEPT
from vitquant.workflows.allocation.sizes import structure
from vitquant.workflows.ptq import make_context, quantize

CHOICES = {"choices": "w2,w3,w4,w8,a4,a8"}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("VITQUANT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def budget(settings):
    """budget(method, ...) → settings of a run under a budget."""

    def make(method="rtn", **given):
        # A patch embedding that has no bits of its own is chosen too.
        made = settings(None, method, **{"patch_embed_bits": None} | CHOICES | given)
        assert made.has_budget
        return made

    return make


def size_of(quantized, path):
    return quantized.save(path / "model.safetensors")


@pytest.fixture
def uniform(make_small, images, settings, tmp_path):
    """uniform(bits, method) → bytes of a checkpoint whose layers all have them."""

    def make(bits, method="rtn"):
        made = settings(bits, method, patch_embed_bits=bits)
        return size_of(quantize(make_small("vit"), images, made), tmp_path)

    return make


@pytest.mark.parametrize("method", ["rtn", "repq", "dfq", "joint", "block"])
def test_the_file_is_as_small_as_it_should_be(
    method, make_small, images, batch, budget, uniform, tmp_path
):
    most = (uniform("w2a8", method) + uniform("w8a8", method)) // 2
    extra = {} if method in ("joint", "block") else {"stored_rescaling": None}
    quantized = quantize(make_small("vit"), images, budget(method, max_size=most, **extra))
    real = size_of(quantized, tmp_path)
    assert 0.85 * most < real <= most
    widths = {record.weight_bits for record in quantized.header.layers}
    assert len(widths) > 1
    restored = restore(read_checkpoint(tmp_path / "model.safetensors"))
    with torch.inference_mode():
        assert torch.equal(restored.module(batch), quantized.model.module(batch))


def test_what_is_stored_of_it(make_small, images, budget, uniform):
    most = uniform("w4a8")
    header = quantize(make_small("vit"), images, budget(max_size=most)).header
    found = header.settings["allocation"]
    assert found["max_size"] == most
    assert found["choices"] == CHOICES["choices"]
    assert 2 <= found["mean_weight_bits"] <= 8
    assert found["mean_activation_bits"] == 8
    assert found["refined_loss"] <= found["measured_loss"]
    # The settings are those that do the same by hand.
    assert header.settings["max_size"] is None
    assert header.settings["layer_bits"]


def test_the_settings_of_the_file_do_the_same_by_hand(
    make_small, images, batch, budget, settings, uniform
):
    model = make_small("vit")
    first = quantize(model, images, budget(max_size=uniform("w3a8")))
    stored = {n: first.header.settings[n] for n in ("layer_bits", "patch_embed_bits", "head_bits")}
    again = quantize(model, images, settings(first.header.bits, samples=4, **stored))
    assert again.header.layers == first.header.layers
    with torch.inference_mode():
        assert torch.equal(again.model.module(batch), first.model.module(batch))


@pytest.mark.slow
def test_bytes_of_the_onnx_file(make_small, images, budget):
    model = make_small("vit")
    sizes = {}
    for bits in ("w2", "w8"):
        made = quantize(model, images, budget(max_size="10MB", choices=bits))
        sizes[bits] = to_onnx(made.model, made.header).ByteSize()
    most = (sizes["w2"] + sizes["w8"]) // 2
    chosen = budget(max_size=most, choices="w2,w3,w4,w8", budget_of="onnx")
    made = quantize(model, images, chosen)
    assert 0.8 * most < to_onnx(made.model, made.header).ByteSize() <= most
    # ONNX has no type of three bits: four cost the same.
    assert 3 not in {record.weight_bits for record in made.header.layers}


def test_no_scale_of_the_onnx_file_is_counted_as_float16(tmp_path):
    # Of a model wide enough for its scales to be held as float16, if float16 could hold them.
    made = vitquant.quantize("vit_digits", "w4a8", "digits", method="rtn", samples=16)
    made.save(tmp_path / "model.safetensors")
    checkpoint = read_checkpoint(tmp_path / "model.safetensors")
    chosen = QuantizeSettings.build(bits="w4a8", method="rtn", samples=16, calib="digits")
    source = open_source("digits", flag="", label_space=LabelSpace(10, None), role=Role.CALIBRATION)
    context = make_context(load_float("vit_digits"), source, chosen, 16, Silent(), "cpu")
    files = to_onnx(restore(checkpoint), checkpoint.header), to_onnx(*structure(context))
    real, expected = (sum(t.ByteSize() for t in file.graph.initializer) for file in files)
    assert real <= expected < 1.05 * real


def test_what_trained_methods_store_beside_ternary_weights_is_not_kept_free():
    # Where the usual weights are ternary, rescaling is stored by default, and else is not.
    made = vitquant.quantize(
        "vit_digits", calib="digits", max_size="200kB", steps=1, samples=16, batch_size=16, refine=0
    )
    assert len(checkpoint_bytes(made.module, made.header)) > 0.97 * 200_000


def test_the_smallest_file_that_keeps_the_agreement(make_small, budget, tmp_path):
    model, images = make_small("vit"), NoiseSource(64, (36, 40), seed=1)
    given = {"samples": 64, "init_images": 8, "choices": "w1.58,w3,w8,a8", "refine": 0}
    everything = quantize(model, images, budget(min_agreement=0.0, **given))
    assert {record.weight_bits for record in everything.header.layers} == {1.58}
    lost = everything.fidelity.agreement
    assert lost < 0.9
    kept = quantize(model, images, budget(min_agreement=(1 + lost) / 2, **given))
    assert kept.fidelity.agreement >= (1 + lost) / 2
    whole = quantize(model, images, budget(max_size="10MB", **given))
    sizes = [size_of(made, tmp_path) for made in (everything, kept, whole)]
    assert sizes == sorted(set(sizes))


def test_bits_that_are_named_stay(make_small, images, budget, uniform):
    given = {
        "layer_bits": "blocks.*.mlp.fc2=w8a8",
        "head_bits": "w8a4",
        "max_size": uniform("w4a8"),
    }
    header = quantize(make_small("vit"), images, budget(**given)).header
    bits = {record.name: (record.weight_bits, record.activation_bits) for record in header.layers}
    assert bits["blocks.0.mlp.fc2"] == bits["blocks.1.mlp.fc2"] == (8, 8)
    assert bits["head"] == (8, 4)


def test_a_mean_of_activation_bits(make_small, images, budget):
    given = {"mean_activation_bits": 5.0, "max_size": "10MB"}
    header = quantize(make_small("vit"), images, budget(**given)).header
    assert header.settings["allocation"]["mean_activation_bits"] <= 5
    widths = {record.activation_bits for record in header.layers}
    widths |= {bits for product in header.products for bits in product.matmul_bits()}
    assert widths == {4, 8}


def test_what_stays_float_has_no_bits(make_small, images, budget):
    given = {"keep_float": "blocks.0.attn.*", "max_size": "10MB"}
    header = quantize(make_small("vit"), images, budget(**given)).header
    assert not [r for r in header.layers if r.name.startswith("blocks.0.attn")]
    assert header.unreached["blocks.0.attn.qkv"] == KEPT


def test_a_tower_without_classes(make_small, images, budget):
    header = quantize(make_small("siglip"), images, budget(max_size="10MB")).header
    assert {record.weight_bits for record in header.layers} == {8}
    with pytest.raises(
        UserError, match=r"^--min-agreement: small has no classes; --max-size is acc"
    ):
        quantize(make_small("siglip"), images, budget(min_agreement=0.5))


def test_too_little(make_small, images, budget):
    with pytest.raises(
        UserError, match=r"^--max-size: 5kB \(5,000 bytes\) is too little .* least w"
    ):
        quantize(make_small("vit"), images, budget(max_size="5kB"))
    with pytest.raises(
        UserError, match=r"^--max-size: 5kB .*; the least with w2,.* is [\d,]+ bytes"
    ):
        quantize(make_small("vit"), images, budget(max_size="5kB"))


def test_the_least_that_is_named_is_enough(make_small, images, budget, tmp_path):
    with pytest.raises(UserError) as caught:
        quantize(make_small("vit"), images, budget(max_size="5kB"))
    least = int(str(caught.value).split(" bytes")[-2].split()[-1].replace(",", ""))
    made = quantize(make_small("vit"), images, budget(max_size=least))
    assert size_of(made, tmp_path) <= least
    assert {record.weight_bits for record in made.header.layers} == {2}


def test_losses_of_layers_are_kept_for_other_budgets(
    make_small, images, budget, uniform, cache, monkeypatch
):
    model, small, large = make_small("vit"), uniform("w3a8"), uniform("w4a8")
    quantize(model, images, budget(max_size=small))
    losses = [p for p in (cache / "allocation").glob("*.json") if p.read_text()[1] != "{"]
    assert len(losses) == 1
    measured = []
    monkeypatch.setattr(
        "vitquant.quantization.bit_allocation.search.BitSearch.measure_alone",
        lambda self: measured.append(self) or [],
    )
    quantize(model, images, budget(max_size=large))
    assert measured == []
    # A damaged file is measured again.
    monkeypatch.undo()
    monkeypatch.setenv("VITQUANT_CACHE", str(cache))
    losses[0].write_text("[")
    assert quantize(model, images, budget(max_size=large + 1)).header.bits
    before = len(list((cache / "allocation").glob("*.json")))
    quantize(model, images, budget(max_size=large, seed=1))
    assert len(list((cache / "allocation").glob("*.json"))) == before + 2


def test_the_same_run_has_the_same_bits(make_small, images, budget, uniform, monkeypatch):
    """Also where a loss came out differently in its last digits."""
    model, settings = make_small("vit"), budget(max_size=uniform("w4a8"))
    first = quantize(model, images, settings).header
    monkeypatch.setattr("vitquant.workflows.allocation.budget.SwitchableModel", None)
    again = quantize(model, images, settings).header
    assert again.settings == first.settings
    assert again.layers == first.layers


def test_every_family(small, images, budget):
    made = quantize(small, images, budget(max_size="10MB", refine=0, choices="w4,w8"))
    bits = [Bits(r.weight_bits, r.activation_bits) for r in made.header.layers]
    # On four images, four bits can by chance lose less than eight.
    assert set(bits) <= {Bits(4, 8), Bits(8, 8)}
    assert bits.count(Bits(8, 8)) > len(bits) / 2
