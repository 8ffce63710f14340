"""Writing a checkpoint: models whose tensors share memory."""

import timm
import torch
from torch import nn

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.checkpoint.write import stored_tensors
from vitquant.workflows.ptq import quantize


def test_tensors_that_share_memory_are_stored_each():
    module = nn.Module()
    module.whole = nn.Buffer(torch.arange(6))
    module.again, module.part = nn.Buffer(module.whole), nn.Buffer(module.whole[2:])
    found = stored_tensors(module)
    assert [t.tolist() for t in found.values()] == [[*range(6)], [*range(6)], [2, 3, 4, 5]]
    assert len({t.untyped_storage().data_ptr() for t in found.values()}) == 3


def test_a_module_in_two_places_comes_back(wrapped, images, settings, tmp_path):
    """CoaT-Lite has its position encodings in every block of a stage."""
    arguments = {
        "img_size": 32, "embed_dims": (16, 16, 16, 16), "serial_depths": (2, 1, 1, 1),
        "num_heads": 8, "num_classes": 10,
    }  # fmt: skip
    torch.manual_seed(0)
    module = timm.create_model("coat_lite_tiny", pretrained=False, **arguments).eval()
    model = wrapped(module.requires_grad_(False), "coat_lite_tiny", arguments)
    run = quantize(model, images, settings("w8a8"))
    run.save(tmp_path / "m.safetensors")
    restored = restore(read_checkpoint(tmp_path / "m.safetensors"))
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(restored.module(x), run.model.module(x))
