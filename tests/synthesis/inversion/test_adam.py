"""Adam over images that start at different times."""

import torch

from vitquant.synthesis.inversion.adam import ImageAdam


def test_it_is_adam():
    rng = torch.Generator().manual_seed(0)
    start, gradients = (torch.randn(n, 3, 2, 2, generator=rng) for n in (2, 10))
    theirs = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=0.1, betas=(0.5, 0.9))
    ours = ImageAdam(start.clone())
    for step, gradient in enumerate(gradients.split(2)):
        theirs.grad = gradient
        optimizer.step()
        ours.step(gradient, [0.1, 0.1], [step, step])
    assert torch.allclose(ours.images, theirs, atol=1e-6)


def test_an_image_that_comes_later_starts_anew():
    rng = torch.Generator().manual_seed(0)
    start, gradients = (torch.randn(n, 3, 2, 2, generator=rng) for n in (3, 4))
    adam = ImageAdam(start[:2].clone())
    adam.step(gradients[:2], [0.1, 0.1], [0, 0])
    adam.restart(0, start[2])
    adam.keep([0])
    adam.step(gradients[2:3], [0.1], [0])
    alone = ImageAdam(start[2:].clone())
    alone.step(gradients[2:3], [0.1], [0])
    assert torch.equal(adam.images, alone.images)
