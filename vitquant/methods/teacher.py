"""The float model as a teacher that need not be asked twice about the same view."""

import torch
from torch import Tensor

from vitquant.methods.distillation import Outputs, Run
from vitquant.methods.job import Key


class Teacher:
    """The float model's outputs for views of images.

    Args:
        run: the float model.
        remembers: whether views recur. Outputs are then computed once for each and kept in the
            host's memory as bfloat16: for DeiT-Tiny 0.9 MB a view.
    """

    def __init__(self, run: Run, remembers: bool) -> None:
        self._run = run
        self._remembers = remembers
        self._known: dict[Key, Outputs] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor, keys: list[Key]) -> Outputs:
        """Features and logits of ``images`` (B, C, H, W), views with the given keys."""
        if not self._remembers:
            return self._run(images)
        if not all(key in self._known for key in keys):
            self._remember(keys, self._run(images))
        # Read back also the first time, so that a view always gets the same answer.
        known = [self._known[key] for key in keys]
        features = [
            torch.stack(f).to(images) for f in zip(*(o.features for o in known), strict=True)
        ]
        return Outputs(features, torch.stack([o.logits for o in known]).to(images))

    def _remember(self, keys: list[Key], outputs: Outputs) -> None:
        features = [feature.to("cpu", torch.bfloat16) for feature in outputs.features]
        logits = outputs.logits.to("cpu", torch.bfloat16)
        for i, key in enumerate(keys):
            self._known[key] = Outputs([f[i].clone() for f in features], logits[i].clone())
