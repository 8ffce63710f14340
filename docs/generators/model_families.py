"""One small member of each family of timm, built with random weights, and what is found in it."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import timm
import torch
from torch import nn

import vitquant
from vitquant.core.errors import first_line
from vitquant.quantization.graph.points import QuantizationPoints, example_inputs, find_points

ROWS = Path(__file__).parents[1] / "reference" / "supported-models.csv"
FAMILIES = {
    "vit_tiny_patch16_224": "ViT",
    "deit_tiny_patch16_224": "DeiT",
    "deit_tiny_distilled_patch16_224": "DeiT, distilled",
    "deit3_small_patch16_224": "DeiT III",
    "flexivit_small": "FlexiViT",
    "naflexvit_base_patch16_gap": "NaFlexViT",
    "vit_relpos_small_patch16_224": "ViT, relative positions",
    "vit_small_patch16_rope_224": "ViT, rotary positions",
    "vit_base_patch32_clip_224": "CLIP, image tower",
    "vit_base_patch16_siglip_224": "SigLIP, image tower",
    "vit_small_patch14_dinov2": "DINOv2",
    "vit_small_patch14_reg4_dinov2": "DINOv2, registers",
    "vit_small_patch16_dinov3": "DINOv3",
    "eva02_tiny_patch14_224": "EVA-02",
    "beit_base_patch16_224": "BEiT",
    "beitv2_base_patch16_224": "BEiT v2",
    "samvit_base_patch16_224": "SAM, image encoder",
    "swin_tiny_patch4_window7_224": "Swin",
    "swin_s3_tiny_224": "Swin S3",
    "swinv2_tiny_window8_256": "Swin V2",
    "swinv2_cr_tiny_224": "Swin V2 CR",
    "cait_xxs24_224": "CaiT",
    "convit_tiny": "ConViT",
    "pit_ti_224": "PiT",
    "levit_128s": "LeViT",
    "pvt_v2_b0": "PVT v2",
    "twins_pcpvt_small": "Twins PCPVT",
    "twins_svt_small": "Twins SVT",
    "maxvit_nano_rw_256": "MaxViT, timm's variants",
    "maxvit_tiny_tf_224": "MaxViT, original",
    "coatnet_nano_rw_224": "CoAtNet, timm's variants",
    "hiera_tiny_224": "Hiera",
    "xcit_nano_12_p16_224": "XCiT",
    "coat_tiny": "CoaT",
    "coat_lite_tiny": "CoaT-Lite",
    "crossvit_9_240": "CrossViT",
    "davit_tiny": "DaViT",
    "gcvit_xxtiny": "GC ViT",
    "nest_tiny": "NesT",
    "tnt_s_patch16_224": "TNT",
    "visformer_tiny": "Visformer",
    "vitamin_small_224": "ViTamin",
    "volo_d1_224": "VOLO",
    "mvitv2_tiny": "MViT v2",
    "caformer_s18": "CAFormer",
    "edgenext_xx_small": "EdgeNeXt",
    "efficientformer_l1": "EfficientFormer",
    "efficientformerv2_s0": "EfficientFormer V2",
    "efficientvit_b0": "EfficientViT, MIT",
    "efficientvit_m0": "EfficientViT, MSRA",
    "fastvit_t8": "FastViT, T and S",
    "fastvit_sa12": "FastViT, SA and MA",
    "mobilevit_xxs": "MobileViT",
    "mobilevitv2_050": "MobileViT v2",
    "swiftformer_xs": "SwiftFormer",
    "tiny_vit_5m_224": "TinyViT",
}
"""By an example, which has few parameters."""
ACCEPTED, REFUSED, FAILS = "accepted", "refused", "fails"
# 16-bit activations take the least time to search scales for, and all matmuls are quantized.
_BITS = "w8i16"
_BRIEF: dict[str, Any] = {"method": "rtn", "samples": 1, "init_images": 1}
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)


def write_rows() -> None:
    """Build an example of each family and write what is found."""
    with ROWS.open("w", newline="", encoding="utf-8") as file:
        rows = [found_in(example) for example in FAMILIES]
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def found_in(example: str) -> dict[str, str]:
    """A row: what there is to quantize in a model of timm, and why it is refused, if it is."""
    model = timm.create_model(example, pretrained=False).eval()
    size = timm.data.resolve_model_data_config(model)["input_size"]
    points = find_points(model, example_inputs(size))
    refused = {
        f"{why} ({type(model.get_submodule(name)).__name__})"
        for name, why in points.unsupported.items()
    }
    classes = {type(model.get_submodule(name)).__name__ for name in points.unsupported}
    failed = "" if refused else _failure(model)
    return {
        "family": FAMILIES[example],
        "example": example,
        "layers": str(len(points.layers)),
        "matmuls": str(len(points.matmuls)),
        "constant": str(len(points.constant)),
        "attention": _attention(points, classes),
        "verdict": REFUSED if refused else FAILS if failed else ACCEPTED,
        "reason": "; ".join(sorted(refused)) or failed,
        "timm": timm.__version__,
    }


def _attention(points: QuantizationPoints, unsupported: Iterable[str]) -> str:
    """Whether the matmuls of attention are quantized. unsupported: classes of modules."""
    if any(_ATTENTION.search(name) for name in unsupported):
        return "not all"
    return "quantized" if points.matmuls else "none there"


def _failure(model: nn.Module) -> str:
    """What goes wrong when a model is quantized, saved and loaded; empty if nothing does."""
    try:
        with TemporaryDirectory() as folder:
            quantized = vitquant.quantize(model, _BITS, "noise", **_BRIEF)
            quantized.save(Path(folder) / "model.safetensors")
            loaded = vitquant.load(Path(folder) / "model.safetensors")
            images = example_inputs(quantized.model.input_size)
        with torch.inference_mode():
            found, expected = loaded(images), quantized.module(images)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    except Exception as error:  # whatever it is, the table says so
        return f"{type(error).__name__}: {first_line(error).partition(',')[0]}"
    return ""
