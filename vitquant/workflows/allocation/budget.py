"""From a budget to the bits of each layer and matmul."""

from dataclasses import dataclass
from typing import Any

from vitquant.config.bits import Bits
from vitquant.config.groups.budget import BUDGETS
from vitquant.core.errors import UserError
from vitquant.quantization.bit_allocation.activations import activation_values
from vitquant.quantization.bit_allocation.measure import Measure
from vitquant.quantization.bit_allocation.search import (
    BitSearch,
    Budget,
    Choice,
    Found,
    mean_activation_bits,
)
from vitquant.quantization.bit_allocation.switchable import SwitchableModel
from vitquant.quantization.ptq.context import PTQContext
from vitquant.workflows.allocation.assignment import choices_of, mean_weight_bits, with_bits
from vitquant.workflows.allocation.cache import cached_choice, cached_losses
from vitquant.workflows.allocation.sizes import FileSize, weight_counts

# How often the range of sizes is halved in the search for the least that keeps an agreement.
_HALVINGS = 7
AGREEMENT_IMAGES = 256
# How often a choice is made again because its file was larger than expected.
_TRIES = 4
_PATTERN_BYTES = 8


@dataclass(frozen=True)
class Allocation:
    """How bits were chosen.

    budget: what was asked for. found: the choice, with what was measured on the way.
    mean_weight_bits, mean_activation_bits: over all weights, and over all values of activations.
    """

    budget: dict[str, Any]
    found: Found
    mean_weight_bits: float
    mean_activation_bits: float

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint stores of it."""
        first, last = self.found.rounds[0], self.found.rounds[-1]
        figures = {
            "mean_weight_bits": self.mean_weight_bits,
            "mean_activation_bits": self.mean_activation_bits,
            "expected_loss": first.expected,
            "measured_loss": first.measured,
            "refined_loss": last.measured,
        }
        changed = [one.changed for one in self.found.rounds[1:]]
        return (
            self.budget | {n: float(f"{x:.5g}") for n, x in figures.items()} | {"changed": changed}
        )


def allocate_bits(context: PTQContext) -> tuple[PTQContext, Allocation]:
    """The context with bits for each layer and matmul in place of a budget.

    All processes call it together.

    Raises:
        UserError: nothing meets the budget.
    """
    return _Allocator(context).run()


class _Allocator:
    def __init__(self, context: PTQContext) -> None:
        self.context, self.settings = context, context.settings
        self.size = FileSize(context)
        self.choices = choices_of(context)
        self.counts = weight_counts(context)
        # Of whole files, by the choice: each takes a conversion, or an export.
        self._sizes: dict[tuple[tuple[str, Bits], ...], int] = {}
        self.values = activation_values(
            context.float_model,
            context.points,
            context.model.example_inputs().to(context.device),
        )

    def run(self) -> tuple[PTQContext, Allocation]:
        """Measure, choose, refine."""
        self._check()
        found = cached_choice(self.context, self._search)
        chosen = self._with_bits(found.bits)
        allocation = self._describe(found)
        first, last = found.rounds[0], found.rounds[-1]
        refined = "" if last is first else f", {last.measured:.4g} once refined"
        self.context.progress.say(
            f"weights of {allocation.mean_weight_bits:.2f} bits and activations of "
            f"{allocation.mean_activation_bits:.2f} on the mean; loss {first.measured:.4g} where "
            f"{first.expected:.4g} was expected{refined}"
        )
        return chosen, allocation

    def _search(self) -> Found:
        settings = self.settings
        model = SwitchableModel(self.context, {b for own in self.choices.values() for b in own})
        measure = Measure(self.context, model, settings.sensitivity_images)
        search = BitSearch(
            measure, self.choices, self.weight_bytes, self.values, self.context.progress
        )
        search.use(cached_losses(self.context, search.choices, search.measure_alone))
        if settings.max_size is not None:
            return self._fit(search, settings.max_size)
        return self._keep(search, model)

    def weight_bytes(self, name: str, bits: float) -> int:
        """Of a layer's weights; 0 for a matmul."""
        return self.size.of_weights(self.counts.get(name, 0), bits)

    def _with_bits(self, choice: Choice) -> PTQContext:
        return with_bits(self.context, choice, self.counts, self.values)

    def _whole(self, choice: Choice) -> int:
        """Bytes of the file."""
        key = tuple(choice.items())
        if key not in self._sizes:
            self._sizes[key] = self.size.whole(self._with_bits(choice))
        return self._sizes[key]

    def _overhead(self, choice: Choice) -> int:
        """Bytes of the file beside its weights."""
        weights = sum(self.weight_bytes(name, bits.weight) for name, bits in choice.items())
        return self._whole(choice) - weights

    def _least(self) -> dict[str, Bits]:
        """The fewest bits of weights, and the most of activations, which cost no bytes."""
        return {
            name: min(own, key=lambda bits: (bits.weight, -bits.activation))
            for name, own in self.choices.items()
        }

    def _check(self) -> None:
        """Raise a UserError for what nothing can meet, before anything is measured."""
        most = self.settings.max_size
        least = self._least()
        if most is None:
            if self.context.model.num_classes < 2:
                raise UserError(
                    f"{self._label('min_agreement')}: {self.context.model.identity.name} has no "
                    f"classes; {self._label('max_size')} is accepted"
                )
            return
        needed = self._whole(least)
        if needed > most:
            given = any(len(own) == 1 for own in self.choices.values())
            raise UserError(
                f"{self._label('max_size')}: {most} ({int(most):,} bytes) is too little for "
                f"{self.context.model.identity.name}; the least with {self.settings.choices}"
                f"{' and the bits that are given' if given else ''} is {needed:,} bytes"
            )

    def _fit(self, search: BitSearch, most: int) -> Found:
        """The least loss in so many bytes."""
        choice: Choice = self._least()
        overhead = self._overhead(choice)
        for number in range(_TRIES):
            budget = self._budget(most - overhead)
            choice = self._choose(search, budget)
            # Refining lets the patterns grow a little that say which layer has which bits.
            growth = _PATTERN_BYTES * len(choice)
            # Defaults depend on the bits, and what is stored on these: with ternary weights often
            # more than with others, which leaves bytes to be used.
            real = self._overhead(choice)
            if real > overhead or (number == 0 and real + growth < overhead):
                overhead = real + growth
                continue
            found = search.refine(choice, budget, self.settings.refine)
            if (real := self._overhead(found.bits)) <= overhead:
                return found
            overhead = real
        raise UserError(
            f"{self._label('max_size')}: no choice was found that fits {self.settings.max_size}; a "
            f"little more is accepted"
        )

    def _keep(self, search: BitSearch, model: SwitchableModel) -> Found:
        """The fewest bytes that keep the agreement."""
        wanted = self.settings.min_agreement or 0.0
        judge = Measure(self.context, model, AGREEMENT_IMAGES)

        def agreement(choice: Choice) -> float:
            model.set(dict(choice))
            return judge.now().agreement or 0.0

        least, most = search.least_bytes(), search.most_bytes()
        best = self._choose(search, self._budget(most))
        if (reached := agreement(best)) < wanted:
            raise UserError(
                f"{self._label('min_agreement')}: {wanted:g} is more than {reached:.4g}, which "
                f"{self.settings.choices} reach on {judge.images} calibration images before any "
                f"training; less, or more bits in {self._label('choices')}, is accepted"
            )
        track = self.context.progress.track(range(_HALVINGS), _HALVINGS, "searching the size")
        # At first the least, then half of what lies between what is too small and what is not.
        size, enough = least, most
        for _ in track:
            choice = search.choose(self._budget(size))
            if choice is not None and agreement(choice) >= wanted:
                best, enough = choice, size
            else:
                least = size
            if (size := (least + enough) // 2) in (least, enough):
                break
        found = search.refine(best, self._budget(enough), self.settings.refine)
        if agreement(found.bits) < wanted:
            found = search.refine(best, self._budget(enough), 0)
        return found

    def _choose(self, search: BitSearch, budget: Budget) -> dict[str, Bits]:
        choice = search.choose(budget)
        if choice is None:
            mean = self.settings.mean_activation_bits
            beside = "" if mean is None else f", with activations of {mean:g} bits on the mean,"
            names = [name for name in BUDGETS if getattr(self.settings, name) is not None]
            raise UserError(
                f"{self._label(names[0])}: nothing of {self.settings.choices}{beside} fits; more, "
                f"or fewer bits in {self._label('choices')}, is accepted"
            )
        return choice

    def _budget(self, bytes: float) -> Budget:
        return Budget(bytes, self.settings.mean_activation_bits or float("inf"))

    def _label(self, name: str) -> str:
        return self.settings.naming.option(name)

    def _describe(self, found: Found) -> Allocation:
        settings = self.settings
        names = ("max_size", "min_agreement", "choices", "budget_of")
        asked = {name: getattr(settings, name) for name in names}
        return Allocation(
            {n: str(v) if n == "choices" else v for n, v in asked.items() if v is not None},
            found,
            mean_weight_bits(found.bits, self.counts),
            mean_activation_bits(found.bits, self.values),
        )
