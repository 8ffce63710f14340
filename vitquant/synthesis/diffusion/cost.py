"""What learning prompts and drawing images will cost, told before it begins."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from vitquant.core import distributed
from vitquant.core.matmul_rate import matmul_rate
from vitquant.core.progress import Progress, format_duration
from vitquant.models.model import Model
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.learn_job import PromptLearner
from vitquant.synthesis.diffusion.pipeline import GENERATOR
from vitquant.synthesis.diffusion.prompt_text import PLAIN

T = TypeVar("T")

# How much of the rate of matmuls a step at SD-Turbo's size reaches, as docs/results/
# sd_turbo_size.csv has it for a CPU. In low precision, more of the time goes to everything else.
_REACHED = {torch.float32: 0.9, torch.bfloat16: 0.5}
# Runs that take less have ended before anybody has read about them.
_SHORT = 60.0


@dataclass(frozen=True)
class ImageCost:
    """FLOPs of one image, matmuls and convolutions alone.

    forward: to draw and to classify it. step: the same and the gradients of the prompt, with what
    is computed again on the way back.
    """

    forward: int
    step: int


@dataclass(frozen=True)
class Estimate:
    """What a run costs at most.

    prompts: to be learned, in ``steps`` steps each. looks: images of each that decide whether it
    is good enough. images: to be drawn. rate: FLOP/s, of all processes together.
    """

    cost: ImageCost
    rate: float
    prompts: int = 0
    steps: int = 0
    looks: int = 0
    images: int = 0

    @property
    def flops(self) -> int:
        # Before a prompt is learned, and after.
        drawn = 2 * self.looks * self.prompts + self.images
        return self.prompts * self.steps * self.cost.step + drawn * self.cost.forward

    @property
    def seconds(self) -> float:
        return self.flops / self.rate

    def __str__(self) -> str:
        work = [f"drawing {self.images:,} images"] if self.images else []
        if self.prompts:
            work.insert(0, f"learning {self.prompts:,} prompts at up to {self.steps} steps")
        most = "at most about" if self.prompts else "about"
        flops = self.cost.step if self.prompts else self.cost.forward
        what = "an image with its gradients" if self.prompts else "an image"
        return (
            f"estimate: {' and '.join(work)} takes {most} {format_duration(self.seconds)} here "
            f"({flops / 1e12:.2g} TFLOP {what}; {self.rate / 1e12:.2g} TFLOP/s, from a measurement)"
        )


def say_learning_estimate(learner: PromptLearner, progress: Progress, images: int = 0) -> None:
    """Tell what learning prompts costs, and drawing so many images by them afterwards."""
    settings = learner.settings
    prompts = len(learner.classes) * settings.prompts_per_class
    say_estimate(
        learner.generator,
        learner.model,
        progress,
        prompts=prompts,
        steps=settings.steps,
        looks=settings.images_per_prompt,
        images=images,
    )


def say_estimate(
    generator: Generator,
    model: Model,
    progress: Progress,
    *,
    prompts: int = 0,
    steps: int = 0,
    looks: int = 0,
    images: int = 0,
) -> None:
    """Tell what so much work costs on this machine, unless it is over in a minute.

    Nothing is told of networks that cannot be followed without computing.
    """
    if generator.identity.name == GENERATOR:  # to count would take longer than many such runs
        return
    try:
        cost = count_flops(generator, model)
    except Exception:  # whatever a library raises on tensors without values
        return
    rate = _REACHED[generator.dtype] * matmul_rate(generator.device, generator.dtype)
    estimate = Estimate(cost, rate * distributed.world_size(), prompts, steps, looks, images)
    if estimate.seconds >= _SHORT and distributed.is_main():
        progress.say(str(estimate))


def count_flops(generator: Generator, model: Model) -> ImageCost:
    """Count the FLOPs of an image on tensors without values, which takes seconds and no memory.

    Raises whatever the networks do where they look at values.
    """
    ids = generator.prompt_tokenizer.prompt(PLAIN, "thing").ids[None].to("meta")
    generator, model = _without_values(generator), _without_values(model)
    generator.device = torch.device("meta")
    model.module.eval().requires_grad_(False)
    learned = generator.embeddings(ids).requires_grad_()
    noise = torch.empty(1, *generator.noise_shape, device="meta")
    # The transform in between looks at values, and multiplies no matrices.
    inputs = torch.empty(1, *model.preprocessing["input_size"], device="meta", requires_grad=True)
    # Without gradients the pipeline's own decoder draws, in all of the steps.
    with FlopCounterMode(display=False) as drawn, torch.no_grad():
        generator.generate(generator.encode(ids, learned), noise)
        model.features(inputs)
    with FlopCounterMode(display=False) as step:
        images = generator.generate(generator.encode(ids, learned), noise)
        (images.sum() + model.features(inputs)[0].sum()).backward()
    return ImageCost(drawn.get_total_flops(), step.get_total_flops())


def _without_values(source: T) -> T:
    """A copy of an object whose networks are on the device "meta"."""
    made: dict[int, Any] = {}
    with _ParametersOnMeta():
        twin = copy.deepcopy(source, made)
    for part in list(made.values()):
        if isinstance(part, nn.Module):
            part.to("meta")
        elif hasattr(part, "set_timesteps") and hasattr(part, "config"):
            # A scheduler decides by the values of its times.
            part.set_timesteps = _on_the_cpu(part.set_timesteps)
    return twin


def _on_the_cpu(set_timesteps: Callable[..., None]) -> Callable[..., None]:
    return lambda *args, **options: set_timesteps(*args, **options | {"device": "cpu"})


class _ParametersOnMeta(TorchFunctionMode):
    """Inside, copies of parameters take no memory: they clone their data."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.clone:
            return torch.empty_like(args[0], device="meta")
        return func(*args, **(kwargs or {}))
