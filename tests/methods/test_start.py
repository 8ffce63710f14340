"""Where training starts: searched scales and rescaling, nothing trained."""

import pytest
import torch

from vitquant.layers.weight import LearnedWeight
from vitquant.methods.start import start


@torch.no_grad()
def test_only_scales_and_rescaling_differ_from_float(small, settings, make_job):
    job = make_job(small, settings("w4a4", "joint"))
    learned = start(job)
    state = learned.state_dict()
    assert all(torch.equal(state[name], t) for name, t in job.reference.state_dict().items())
    layers = {n: m for n, m in learned.named_modules() if isinstance(m, LearnedWeight)}
    assert set(layers) == set(job.wiring.layers)
    assert all(layer.log_scale.isfinite().all() for layer in layers.values())
    moved = [layer.rescale.log.abs().max() > 0 for layer in layers.values() if layer.rescale]
    assert any(moved)


@torch.no_grad()
def test_rescaling_alone_leaves_the_output_as_it_was(
    small, batch, settings, make_job, rounds_nothing
):
    job = make_job(small, settings("w4a4", "joint"))
    wanted = job.reference(batch)
    assert (start(job)(batch) - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("family", ["vit", "swinv2"], indirect=True)
def test_eight_bits_start_close_to_float(small, batch, settings, make_job):
    job = make_job(small, settings("w8a8", "joint", init_images=4))
    with torch.no_grad():
        noise = start(job)(batch) - job.reference(batch)
        assert noise.square().mean().sqrt() < 0.03 * job.reference(batch).std()
