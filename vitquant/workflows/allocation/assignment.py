"""From a budget's choices to settings that say the bits of each layer, as one does by hand."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from vitquant.config.bits import BitAssignment, Bits
from vitquant.config.bits.patterns import fits
from vitquant.config.bits.summarize import summarize_layer_bits
from vitquant.config.groups.budget import Budget
from vitquant.quantization.ptq.bit_assignment import assign_bits
from vitquant.quantization.ptq.context import PTQContext

# What a choice replaces.
_NO_BUDGET = dict.fromkeys(Budget.fields())


def choices_of(context: PTQContext) -> dict[str, Sequence[Bits]]:
    """What each layer and matmul may be quantized to; what the settings name has its bits.

    Of a matmul, whose weight does not matter, one for each width of activations.
    """
    settings = context.settings
    fixed = _fixed(context, settings.assignment)
    every = settings.choices.bits
    found: dict[str, Sequence[Bits]] = {point.name: every for point in context.points.layers}
    matmuls = [b for b in every if b.weight == settings.choices.weights[-1]]
    found |= {point.name: matmuls for point in context.points.matmuls}
    return found | {name: [bits] for name, bits in fixed.items()}


def _fixed(context: PTQContext, assignment: BitAssignment) -> Mapping[str, Bits]:
    settings = context.settings
    names = [*context.bits.by_name()]
    fixed = {n for n in names if any(fits(pattern, n) for pattern, _ in assignment.patterns)}
    if "patch_embed_bits" in settings.chosen:
        fixed |= {context.points.stem} & set(names)
    if "head_bits" in settings.chosen:
        fixed |= context.model.classifier_names & set(names)
    return {name: bits for name, bits in context.bits.by_name().items() if name in fixed}


def with_bits(
    context: PTQContext,
    choice: Mapping[str, Bits],
    weights: Mapping[str, int],
    values: Mapping[str, int],
) -> PTQContext:
    """The context with a choice in place of the budget.

    weights: how many each layer has. values: how many the activations of each point have.
    """
    usual = _usual(choice, weights, values)
    # A matmul has no weights, so that what its pattern says of them does not matter.
    wanted = {
        name: bits if name in weights else replace(bits, weight=usual.weight)
        for name, bits in choice.items()
    }
    names, points = context.model.classifier_names, context.points
    plain = context.settings.changed(bits=usual, layer_bits=None, **_NO_BUDGET)
    patterns = summarize_layer_bits(wanted, assign_bits(plain.assignment, names, points).by_name())
    chosen = plain.changed(layer_bits=patterns or None)
    return replace(context, settings=chosen, bits=assign_bits(chosen.assignment, names, points))


def mean_weight_bits(choice: Mapping[str, Bits], weights: Mapping[str, int]) -> float:
    """Over all weights."""
    bits = sum(choice[name].weight * count for name, count in weights.items())
    return bits / sum(weights.values())


def _usual(
    choice: Mapping[str, Bits], weights: Mapping[str, int], values: Mapping[str, int]
) -> Bits:
    """What is nearest to the mean of the weights, and most frequent among activations."""
    widths = sorted({choice[name].weight for name in weights})
    mean = mean_weight_bits(choice, weights)
    seen: Counter[int] = Counter()
    for name, bits in choice.items():
        seen[bits.activation] += values[name]
    return Bits(min(widths, key=lambda width: abs(width - mean)), seen.most_common(1)[0][0])
