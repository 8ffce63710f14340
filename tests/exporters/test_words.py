"""Words of 32 bits, against the library that defines them."""

import importlib

import pytest
import torch

from vitquant.exporters.words import pack_words


def test_by_hand():
    codes = torch.tensor([[-8, -7, 0, 7, -8, -8, -8, 7, -5]], dtype=torch.int8)
    words = pack_words(codes, 4)
    assert words.dtype == torch.int32
    assert [f"{word & 0xFFFFFFFF:08x}" for word in words[0].tolist()] == ["f000f810", "00000003"]


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("bits", range(2, 9))
def test_the_library_packs_alike(bits, columns):
    pytest.importorskip("compressed_tensors", "0.18", reason="compressed-tensors is not installed")
    helpers = importlib.import_module("compressed_tensors.compressors.pack_quantized.helpers")
    half = 1 << (bits - 1)
    generator = torch.Generator().manual_seed(bits)
    codes = torch.randint(-half, half, (3, columns), dtype=torch.int8, generator=generator)
    assert torch.equal(pack_words(codes, bits), helpers.pack_to_int32(codes, bits))
    unpacked = helpers.unpack_from_int32(pack_words(codes, bits), bits, codes.shape)
    assert torch.equal(unpacked, codes)
