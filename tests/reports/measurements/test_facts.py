"""Every byte has a place, and bits are means."""

import pytest

from vitquant.reports.measurements.facts import KINDS, model_facts, size_by_part


@pytest.mark.parametrize("family", ["vit", "swin"])
def test_bytes_add_up(make_small, subject_of, family):
    subject = subject_of(make_small(family), bits="w4a4")
    found = size_by_part(subject)
    assert found.bytes == subject.checkpoint.path.stat().st_size
    assert sum(part.bytes for part in found.parts) == found.bytes
    assert {part.kind for part in found.parts} == set(KINDS)
    assert set(subject.blocks) <= set(found.places)
    weights = sum(part.bytes for part in found.parts if part.kind == "packed weights")
    tensors = subject.checkpoint.tensors
    assert weights == sum(t.numel() for n, t in tensors.items() if n.endswith(".codes"))


def test_bits_are_means_over_weights(make_small, subject_of):
    subject = subject_of(make_small("vit"), bits="w4a6", head_bits="w2a2", patch_embed_bits="w8a8")
    found = model_facts(subject, "FILE")
    sizes = {"head": 480, "patch_embed.proj": 9216}
    blocks = 2 * (48 * 144 + 48 * 48 + 2 * 48 * 192)
    expected = 2 * sizes["head"] + 8 * sizes["patch_embed.proj"] + 4 * blocks
    assert found.mean_weight_bits == pytest.approx(expected / (sum(sizes.values()) + blocks))
    # Four layers and two matmuls in each of two blocks, the head and the patch embedding.
    assert found.mean_activation_bits == pytest.approx((12 * 6 + 2 + 8) / 14)
    assert len(found.layers) == 14
    assert {row.block for row in found.layers} == {"blocks.0", "blocks.1", ""}
    weights_only = model_facts(
        subject_of(make_small("vit"), bits="w4a16", patch_embed_bits="w8a16"), "FILE"
    )
    assert weights_only.mean_activation_bits is None
    assert {row.block for row in weights_only.layers} == {"blocks.0", "blocks.1", ""}
