"""Mixed against uniform bits, from the rows of docs/results/mixed_bits.csv."""

from collections import defaultdict
from statistics import mean, stdev

from generators.rows import MODELS, RESULTS, read, run_label, table

_ROWS = RESULTS / "mixed_bits.csv"
_PREDICTION = RESULTS / "sensitivity_prediction.csv"
_HEAD = (
    "model | width of the uniform | method | bits | seeds | MB | agreement % | top-1 % | KL | "
    "gain in agreement, seed by seed"
)
Row = dict[str, str]
Key = tuple[str, str, str, str]
# An alias, and the name that it stands for.
_CALLED = MODELS | {"vit_tiny": "ViT-Tiny"}
_ORDER = ("w1.58", "w2", "w3", "w4", "w6", "w8")


def mixed_bits() -> str:
    """Uniform and mixed side by side, mean over the seeds."""
    found = _groups()
    lines = []
    for model, width, method, steps in sorted(found, key=_order):
        own = found[model, width, method, steps]
        for bits in ("uniform", "mixed"):
            rows = own.get(bits, {})
            if not rows:
                continue
            figures = [
                f"{_mean(rows, 'bytes', 1e-6):.2f}",
                _spread([100 * float(row["agreement"]) for row in rows.values()]),
                f"{_mean(rows, 'top1', 100):.1f}",
                f"{_mean(rows, 'kl'):.3f}",
            ]
            gain = _gain(own) if bits == "mixed" else ""
            called = [_CALLED[model], f"{width}a4".upper(), run_label(method, steps)]
            lines.append([*called, bits, str(len(rows)), *figures, gain])
    return table(_HEAD, lines)


def mixed_bits_about() -> str:
    """What the rows have in common."""
    rows = read(_ROWS)
    commits = ", ".join(dict.fromkeys(f"`{row['commit']}`" for row in rows))
    first = rows[0]
    return (
        f"{first['images']} validation images; losses of single layers measured on "
        f"{first['sensitivity_images']} calibration images, {first['refine']} round of refining; "
        f"commit {commits}."
    )


def prediction() -> str:
    """How well losses of single layers foretell those of random allocations."""
    lines = [
        [
            _CALLED[row["model"]],
            "none" if row["budget"] == "none" else "bytes and activation bits of W4A4",
            row["allocations"],
            row["spearman"],
            f"{row['least_measured']} – {row['most_measured']}",
            row["mean_ratio"],
        ]
        for row in read(_PREDICTION)
    ]
    head = (
        "model | budget | random allocations | rank correlation (Spearman) | KL measured | "
        "measured over expected"
    )
    return table(head, lines)


def curve() -> dict[str, dict[str, list[tuple[float, float, str]]]]:
    """Agreement over bytes of ``rtn``, for a picture: panels, lines, points."""
    picture: dict[str, dict[str, list[tuple[float, float, str]]]] = {}
    for (model, width, method, _), own in sorted(_groups().items(), key=lambda x: _order(x[0])):
        if method != "rtn":
            continue
        panel = picture.setdefault(f"{_CALLED[model]}, rtn", {})
        for bits, rows in own.items():
            text = f"{width}a4".upper() if bits == "uniform" else ""
            point = (_mean(rows, "bytes", 1e-6), _mean(rows, "agreement", 100), text)
            panel.setdefault(bits, []).append(point)
    return picture


def _groups() -> dict[Key, dict[str, dict[str, Row]]]:
    """Model, width, method and steps → uniform or mixed → seed → row."""
    found: dict[Key, dict[str, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in read(_ROWS):
        key = (row["model"], row["width"], row["method"], row["steps"])
        found[key][row["bits"]][row["seed"]] = row
    return found


def _order(key: Key) -> tuple[int, int, str]:
    model, width, method, _ = key
    return list(_CALLED).index(model), _ORDER.index(width), method == "joint"


def _mean(rows: dict[str, Row], name: str, unit: float = 1.0) -> float:
    return unit * mean(float(row[name]) for row in rows.values())


def _spread(values: list[float]) -> str:
    """The mean, and the standard deviation over the seeds where there are some."""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def _gain(own: dict[str, dict[str, Row]]) -> str:
    seeds = [seed for seed in own["mixed"] if seed in own.get("uniform", {})]
    differences = [
        100 * (float(own["mixed"][s]["agreement"]) - float(own["uniform"][s]["agreement"]))
        for s in seeds
    ]
    return _spread(differences) if differences else ""
