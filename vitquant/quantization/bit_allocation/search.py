"""Bits for each point under a budget: losses of single points, a choice, and its refinement.

The loss of a choice is first taken to be the sum of what each point loses alone. Points also act
on each other, so the whole choice is measured and refined: what a step to the next width of each
point changes *within* the choice takes the place of the first losses, and a few points change at a
time, as long as what is measured falls.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vitquant.config.bits import Bits
from vitquant.core.progress import Progress
from vitquant.quantization.bit_allocation.allocate import Option, allocate, total
from vitquant.quantization.bit_allocation.measure import Change, Loss, Measure

Choice = Mapping[str, Bits]
"""Bits by point."""


class Budget(NamedTuple):
    """bytes: of all weights together. activation_bits: on the mean of all values."""

    bytes: float
    activation_bits: float = float("inf")


class Round(NamedTuple):
    """A choice that was measured. changed: how many points differ from the one before."""

    changed: int
    expected: float
    measured: float


@dataclass
class Found:
    """bits: by point. rounds: what was measured on the way, the last being that of ``bits``."""

    bits: dict[str, Bits]
    loss: Loss
    rounds: list[Round] = field(default_factory=list)


class BitSearch:
    """Chooses bits for the points of a network.

    Attributes:
        choices: of each point, without those that a file has no shorter form for.
        losses: of each point at each of its widths, once :meth:`use` was called.
        values: how many values a point's activations have.

    Args:
        measure: of the network, all of whose points are float.
        choices: what each point may be quantized to: every combination of some widths of weights
            and some of activations.
        bytes_of: how many bytes a point's weights take at some bits.
        values: how many values a point's activations have.
    """

    def __init__(
        self,
        measure: Measure,
        choices: Mapping[str, Sequence[Bits]],
        bytes_of: Callable[[str, float], int],
        values: Mapping[str, int],
        progress: Progress,
    ) -> None:
        self._measure, self._model, self._progress = measure, measure.model, progress
        self._bytes_of, self.values = bytes_of, values
        self.choices = {name: self._worth_it(name, own) for name, own in choices.items()}
        self.losses: dict[str, dict[Bits, float]] = {}

    def _worth_it(self, name: str, choices: Sequence[Bits]) -> list[Bits]:
        """Without widths of weights that take as many bytes as a wider one."""
        size = {bits.weight: self._bytes_of(name, bits.weight) for bits in choices}
        return [
            bits
            for bits in choices
            if not any(w > bits.weight and n <= size[bits.weight] for w, n in size.items())
        ]

    def measure_alone(self) -> list[float]:
        """What each point loses at each of its corners, all others being float."""
        self._measure.record()
        changes = [{name: bits} for name, bits in self._corners()]
        found = self._measure.losses(changes, "measuring sensitivity")
        return [loss.divergence for loss in found]

    def use(self, losses: Sequence[float]) -> None:
        """Choose by such losses, as :meth:`measure_alone` returns them.

        Of weights and activations together, a point loses the sum of what either loses beside the
        other at its most bits.
        """
        alone: dict[str, dict[Bits, float]] = {name: {} for name in self.choices}
        for (name, bits), loss in zip(self._corners(), losses, strict=True):
            alone[name][bits] = loss
        self.losses = {n: filled_in(alone[n], own) for n, own in self.choices.items()}

    def _corners(self) -> list[tuple[str, Bits]]:
        return [(name, bits) for name, own in self.choices.items() for bits in corners(own)]

    def choose(self, budget: Budget) -> dict[str, Bits] | None:
        """The least sum of losses within a budget; None where nothing fits."""
        return self._solve(self._options(self.losses, None), budget)

    def least_bytes(self) -> int:
        return sum(min(self._bytes_of(n, b.weight) for b in own) for n, own in self.choices.items())

    def most_bytes(self) -> int:
        return sum(max(self._bytes_of(n, b.weight) for b in own) for n, own in self.choices.items())

    def bytes(self, choice: Choice) -> int:
        """Of all weights."""
        return sum(self._bytes_of(name, bits.weight) for name, bits in choice.items())

    def expected(self, choice: Choice) -> float:
        """The sum of what each point loses alone."""
        return total(self._options(self.losses, None), choice, "loss")

    def measured(self, choice: Choice) -> Loss:
        """Quantize the whole network to a choice, and measure it."""
        self._model.set(dict(choice))
        return self._measure.now()

    def refine(self, choice: Choice, budget: Budget, rounds: int) -> Found:
        """Change a choice as long as that lowers the measured loss, in so many rounds at most."""
        self._model.set(dict(choice))
        loss = self._measure.record()
        first = Round(0, self.expected(choice), loss.divergence)
        found = Found(dict(choice), loss, [first])
        for number in range(1, rounds + 1):
            better = self._round(found, budget, f"refining bits, round {number} of {rounds}")
            if better is None:
                break
            found = better
        self._model.set(dict(found.bits))
        return found

    def _round(self, found: Found, budget: Budget, what: str) -> Found | None:
        """A better choice with some points changed by one step, or None."""
        now, loss = found.bits, found.loss.divergence
        steps = [(n, b) for n, own in self.choices.items() for b in neighbors(now[n], own)]
        changes: list[Change] = [{n: b} for n, b in steps]
        losses: dict[str, dict[Bits, float]] = {name: {now[name]: 0.0} for name in now}
        for (name, bits), one in zip(steps, self._measure.losses(changes, what), strict=True):
            losses[name][bits] = one.divergence - loss
        least = min(min(own.values()) for own in losses.values())
        most = max(1, len(now) // 3)
        while True:
            # A solver wants losses of 0 and more.
            shifted = {n: {b: x - least for b, x in own.items()} for n, own in losses.items()}
            choice = self._solve(self._options(shifted, now), budget, most)
            changed = {} if choice is None else {n: b for n, b in choice.items() if b != now[n]}
            if not changed:
                return None
            self._model.set(changed)
            measured = self._measure.record()
            if measured.divergence < loss:
                expected = loss + sum(losses[n][b] for n, b in changed.items())
                step = Round(len(changed), expected, measured.divergence)
                return Found(now | changed, measured, [*found.rounds, step])
            self._model.set({name: now[name] for name in changed})
            if most == 1:
                return None
            most = max(1, len(changed) // 3)

    def _options(
        self, losses: Mapping[str, Mapping[Bits, float]], now: Choice | None
    ) -> dict[str, list[Option]]:
        return {
            name: [
                Option(
                    bits,
                    loss,
                    self._bytes_of(name, bits.weight),
                    float(self.values[name] * bits.activation),
                    now is not None and bits != now[name],
                )
                for bits, loss in own.items()
            ]
            for name, own in losses.items()
        }

    def _solve(
        self, options: dict[str, list[Option]], budget: Budget, changes: float = float("inf")
    ) -> dict[str, Bits] | None:
        values = sum(self.values[name] for name in options)
        limited = budget.activation_bits < float("inf")
        useful = {name: _useful(own, limited) for name, own in options.items()}
        return allocate(useful, budget.bytes, budget.activation_bits * values, changes)


def mean_activation_bits(choice: Choice, values: Mapping[str, int]) -> float:
    """Over all values of activations."""
    bits = sum(values[name] * own.activation for name, own in choice.items())
    return bits / max(1, sum(values[name] for name in choice))


def corners(choices: Sequence[Bits]) -> list[Bits]:
    """Those with the most bits of activations, and those with the most of weights."""
    weight, activation = _most(choices)
    return [b for b in choices if b.weight == weight or b.activation == activation]


def filled_in(losses: Mapping[Bits, float], choices: Sequence[Bits]) -> dict[Bits, float]:
    """The losses of all choices from those of the corners."""
    weight, activation = _most(choices)
    by = {(b.weight, b.activation): loss for b, loss in losses.items()}
    both = by[weight, activation]
    return {
        b: max(0.0, by[b.weight, activation] + by[weight, b.activation] - both) for b in choices
    }


def neighbors(bits: Bits, choices: Sequence[Bits]) -> list[Bits]:
    """Those with the next width, more or fewer bits, of weights or of activations."""
    found = []
    for attribute, other in (("weight", "activation"), ("activation", "weight")):
        same = [b for b in choices if getattr(b, other) == getattr(bits, other)]
        same.sort(key=lambda b, attribute=attribute: getattr(b, attribute))  # type: ignore[misc]
        place = same.index(bits)
        found += same[max(0, place - 1) : place] + same[place + 1 : place + 2]
    return found


def _useful(options: Sequence[Option], activations_cost: bool) -> list[Option]:
    """Without those that have fewer bits than another and cost no less.

    That they seem to lose less is due to the few images that losses are measured on.
    """

    def is_better(one: Option, other: Option) -> bool:
        a, b = one.bits, other.bits
        more = a.weight >= b.weight and a.activation >= b.activation and a != b
        cheap = not activations_cost or one.activation_bits <= other.activation_bits
        return more and one.bytes <= other.bytes and cheap

    return [o for o in options if not any(is_better(other, o) for other in options)]


def _most(choices: Sequence[Bits]) -> tuple[float, int]:
    return max(b.weight for b in choices), max(b.activation for b in choices)
