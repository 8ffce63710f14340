"""Tables of README.md and docs/results/README.md, from the rows of docs/results/*.csv."""

import re
from collections.abc import Iterator
from pathlib import Path

from generators.mixed_bits import mixed_bits, mixed_bits_about, prediction
from generators.rows import (
    BITS,
    CALIB,
    MINIATURES,
    MODELS,
    Group,
    commit,
    float_group,
    group,
    groups,
    label,
    over_samples,
    run_label,
    table,
    with_options,
)
from generators.saliency import saliency, saliency_about
from generators.sd_turbo import sd_turbo, sd_turbo_about, sd_turbo_estimates

_MARKED = re.compile(r"(<!-- results:(\S+) -->)\n.*?(<!-- end -->)", re.S)
_COLUMNS = (
    ("rtn", "0"), ("repq", "0"), ("dfq", "0"), ("block", "50"), ("joint", "50"), ("joint", "200"),
    ("joint", "800"),
)  # fmt: skip
_SHOWN = (
    ("w8a8", "rtn", ""), ("w4a4", "rtn", ""), ("w4a4", "joint", ""),
    ("w4a4", "joint", "--prefix-bits 8"), ("w3a3", "joint", ""), ("w1.58a8", "joint", ""),
)  # fmt: skip


def blocks() -> dict[str, str]:
    """The text of each generated block, by the name in its marks."""
    found = {"readme": readme(), "commit": f"Rows of commit `{commit()}`."}
    for model in MODELS:
        found[f"methods-{model}"] = by_method(model)
        found[f"all-{model}"] = everything(model)
    return found | {
        "steps": by_steps(),
        "samples": by_samples(),
        "options": by_options(),
        "without-data": without_data(),
        "miniatures": miniatures(),
        "mixed-bits": mixed_bits(),
        "mixed-bits-about": mixed_bits_about(),
        "prediction": prediction(),
        "saliency": saliency(),
        "saliency-about": saliency_about(),
        "sd-turbo": sd_turbo(),
        "sd-turbo-about": sd_turbo_about(),
        "sd-turbo-estimates": sd_turbo_estimates(),
    }


def readme() -> str:
    """What a newcomer sees: the widths side by side on both models."""
    own = [float_group(model) for model in MODELS]
    lines = [["float32", "", *(g.percent("top1") for g in own), _mb(own[0]), ""]]
    for bits, method, options in _SHOWN:
        wanted = {"bits": bits, "method": method, "options": options, "calib": CALIB}
        if method == "joint":
            wanted["steps"] = "800"
        found = [group(model, **wanted) for model in MODELS]
        if found[0] is None:
            continue
        cells = [_with_drop(g) if g else "–" for g in found]
        called = f"`{method}`" + (f" `{options}`" if options else "")
        lines.append([label(bits), called, *cells, _mb(found[0]), _minutes(found[0])])
    head = "bits | method | DeiT-Tiny, top-1 % | ViT-Tiny, top-1 % | MB | minutes, one core"
    return table(head, lines)


def by_method(model: str) -> str:
    """Top-1 of each width and method with default options."""
    lines = []
    columns = [
        c for c in _COLUMNS if groups(model, method=c[0], steps=c[1], options="", calib=CALIB)
    ]
    for bits in BITS:
        wanted = {"bits": bits, "options": "", "calib": CALIB}
        cells = [group(model, method=method, steps=steps, **wanted) for method, steps in columns]
        lines.append([label(bits), *(g.percent("top1") if g else "–" for g in cells)])
    names = (run_label(method, steps) for method, steps in columns)
    return table(f"bits | {' | '.join(names)}", lines)


def everything(model: str) -> str:
    """All groups of rows of one model."""
    head = (
        "bits | method | steps | options | calibrated on | seeds | top-1 % | "
        "drop ± standard error | agreement % | KL ± standard error | MB | seconds | GB"
    )
    shown = [g for g in groups(model) if g.method != "float"]
    shown.sort(key=lambda g: (BITS.index(g.bits), g.method, int(g.steps)))
    return table(head, map(_details, shown))


def _details(found: Group) -> Iterator[str]:
    yield label(found.bits)
    yield f"`{found.method}`"
    yield found.steps if found.steps != "0" else ""
    yield f"`{found.options}`" if found.options else ""
    yield f"`{found.calib}`, {found.samples}"
    yield str(len(found.rows))
    yield found.percent("top1")
    yield f"{found.drop:.1f} ± {found.mean('drop_se', 100):.1f}"
    yield f"{found.mean('agreement', 100):.1f}"
    yield _kl(found)
    yield _mb(found)
    yield f"{found.mean('seconds'):.0f}"
    yield f"{found.mean('peak_memory_bytes', 1e-9):.1f}"


def by_steps() -> str:
    """W4A4 over the number of steps; no step is the scale search alone."""
    found = {
        model: groups(model, bits="w4a4", method="joint", options="", calib=CALIB)
        for model in MODELS
    }
    return _curve("steps", found, "steps")


def by_samples() -> str:
    """W4A4 over the number of calibration images, 200 steps."""
    return _curve("calibration images", {m: over_samples(m) for m in MODELS}, "samples")


def _curve(name: str, found: dict[str, list[Group]], column: str) -> str:
    lines = []
    for model, called in MODELS.items():
        for g in sorted(found[model], key=lambda g: int(getattr(g, column))):
            seeds, agreement = str(len(g.rows)), f"{g.mean('agreement', 100):.1f}"
            lines.append([called, getattr(g, column), seeds, _with_drop(g), agreement, _kl(g)])
    return table(f"model | {name} | seeds | top-1 % | agreement % | KL ± standard error", lines)


def by_options() -> str:
    """Each group with options beside the same without."""
    lines = []
    for model, called in MODELS.items():
        for g in with_options(model):
            base = group(
                model, calib=CALIB, options="", bits=g.bits, method=g.method, steps=g.steps
            )
            without = [base.percent("top1"), f"{base.mean('kl'):.3f}"] if base else ["–", "–"]
            own = [g.percent("top1"), without[0], f"{g.mean('kl'):.3f}", without[1]]
            lines.append([called, label(g.bits), g.run, f"`{g.options}`", *own])
    head = "model | bits | method | option | top-1 % | without | KL | without"
    return table(head, lines)


def without_data() -> str:
    """What was calibrated on images that are no photographs."""
    return _by_calibration(MODELS)


def miniatures() -> str:
    """The bundled models, by what they were calibrated on."""
    return _by_calibration({name: f"`{name}`" for name in MINIATURES}, skip="")


def _by_calibration(models: dict[str, str], skip: str = CALIB) -> str:
    lines = []
    for model, called in models.items():
        for g in groups(model):
            if g.calib in (skip, ""):
                continue
            images = f"`{g.calib}`, {g.samples}"
            found = [_with_drop(g), f"{g.mean('agreement', 100):.1f}"]
            lines.append([called, label(g.bits), g.run, images, str(len(g.rows)), *found])
    head = "model | bits | method | calibrated on | seeds | top-1 % (drop) | agreement %"
    return table(head, lines)


def _kl(found: Group) -> str:
    return f"{found.mean('kl'):.3f} ± {found.mean('kl_se'):.3f}"


def _with_drop(found: Group) -> str:
    change = f"{-found.drop:+.1f}".replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0")
    return f"{found.percent('top1')} ({change})"


def _mb(found: Group) -> str:
    return f"{found.mean('bytes', 1e-6):.1f}"


def _minutes(found: Group) -> str:
    minutes = found.mean("seconds") / 60
    return f"{minutes:.0f}" if minutes >= 2 else f"{minutes:.1f}"


def fill(page: Path) -> str:
    """The text of a page with each block between its marks written again.

    A block begins with ``<!-- results:NAME -->`` and ends with ``<!-- end -->``.
    """
    made = blocks()
    return _MARKED.sub(
        lambda found: f"{found[1]}\n{made[found[2]]}\n{found[3]}", page.read_text(encoding="utf-8")
    )
