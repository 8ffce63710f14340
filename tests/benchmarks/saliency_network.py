"""A saliency network, DINOv2 ViT-S/14 and a decoder of its patch features, as one module."""

from pathlib import Path

import timm
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

SIDE = 224
BACKBONE, DECODER = "vit_small_patch14_dinov2_saliency.safetensors", "saliency_decoder.safetensors"
TRANSFORM = {"input_size": (3, SIDE, SIDE), "crop_mode": "squash", "crop_pct": 1.0}
"""Whole images, in the terms of timm.data.create_transform; mean and std are ImageNet's."""


class Decoder(nn.Module):
    """Features (B, 384, H, W) → logits (B, 1, 8H, 8W)."""

    def __init__(self) -> None:
        super().__init__()
        for i, (before, after) in enumerate([(384, 256), (256, 128), (128, 64)], 1):
            self.add_module(f"upconv{i}", nn.ConvTranspose2d(before, after, 4, 2, 1))
            self.add_module(f"bn{i}", nn.BatchNorm2d(after))
        self.final_conv = nn.Conv2d(64, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.upconv1(x)).relu()
        x = self.bn2(self.upconv2(x)).relu()
        x = self.bn3(self.upconv3(x)).relu()
        return self.final_conv(x)


class SaliencyNetwork(nn.Module):
    """Images (B, 3, 224, 224) → a map (B, 1, 224, 224) of numbers from 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        name = "vit_small_patch14_dinov2"
        self.backbone = timm.create_model(name, num_classes=0, img_size=SIDE)
        self.decoder = Decoder()

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.backbone.forward_features(images)[:, self.backbone.num_prefix_tokens :]
        features = tokens.mT.unflatten(2, self.backbone.patch_embed.grid_size)
        return interpolate(self.decoder(features), (SIDE, SIDE), mode="bilinear").sigmoid()


def load(folder: Path) -> SaliencyNetwork:
    """With the float16 weights that ``folder`` holds, in eval mode."""
    backbone = {f"backbone.{name}": t for name, t in load_file(folder / BACKBONE).items()}
    network = SaliencyNetwork()
    network.load_state_dict(backbone | load_file(folder / DECODER))
    return network.eval()
