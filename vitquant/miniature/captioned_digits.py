"""Pictures to train the miniature generator on: digits that look as a caption says."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_tensor

from vitquant.miniature.captions import Caption
from vitquant.miniature.looks import dress


class CaptionedDigits:
    """Labelled digits, of which any number can be drawn for a caption, each time other ones.

    Takes its chances from torch's global generator.
    """

    def __init__(self, images: Sequence[tuple[Image.Image, int]]) -> None:
        labels = torch.tensor([label for _, label in images])
        # Red, green and blue are the same.
        grey = torch.stack([to_tensor(image)[:1] for image, _ in images])
        self._by_label = {int(label): grey[labels == label] for label in labels.unique()}

    def draw(self, captions: Sequence[Caption], each: int) -> Tensor:
        """`each` pictures for each caption, (captions * each, 3, S, S) in [-1, 1]."""
        chosen = []
        for caption in captions:
            members = self._by_label[caption.label]
            chosen.append(members[torch.randint(len(members), (each,))])
        words = [caption.words for caption in captions for _ in range(each)]
        return dress(torch.cat(chosen), words).mul(2).sub(1).expand(-1, 3, -1, -1)
