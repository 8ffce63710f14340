"""Where generated samples should move for their distribution to become that of real ones.

"Generative Modeling via Drifting" (Deng, Li, Li, Du, He, arXiv 2602.04770) trains one-step
generators this way: each sample goes towards the real samples near it and away from the other
generated ones near it, until both pulls cancel. Unlike with a mean squared error, samples of one
text stay apart; unlike with an adversary, one network is trained.
"""

from __future__ import annotations

import torch
from torch import Tensor

# How far "near" reaches, as shares of the mean distance from generated to real samples.
_REACHES = (0.05, 0.1, 0.3)


@torch.no_grad()
def drift(generated: Tensor, real: Tensor) -> Tensor:
    """The displacement of each generated sample, (G, M, D).

    generated: (G, M, D) and real: (G, N, D), G groups that have nothing to do with each other.
    Those of each reach are scaled to a root mean square of 1 and added up.
    """
    to_real = torch.cdist(generated, real)
    to_generated = torch.cdist(generated, generated)
    # No sample is repelled by itself.
    to_generated = to_generated + torch.diag_embed(torch.full(to_generated.shape[:2], torch.inf))
    near = -torch.cat([to_real, to_generated], dim=-1) / to_real.mean()
    total = torch.zeros_like(generated)
    for reach in _REACHES:
        scores = near / reach
        # Normalized over neighbors and over samples, so that a real sample to which none is near
        # still attracts one.
        weights = (scores.softmax(dim=-1) * scores.softmax(dim=-2)).sqrt()
        pull, push = weights[..., : real.shape[1]], weights[..., real.shape[1] :]
        # Either side weighted by the other's sum, so that the two cancel for equal distributions.
        towards = (pull * push.sum(dim=-1, keepdim=True)) @ real
        away = (push * pull.sum(dim=-1, keepdim=True)) @ generated
        step = towards - away
        total += step / step.square().mean().sqrt().clamp(min=1e-8)
    return total
