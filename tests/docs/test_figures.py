"""Numbers in the running text of README and of the results follow from rows of docs/results."""

import re
from statistics import mean, stdev

import pytest
from generators.rows import MINIATURES, MODELS, RESULTS, float_group, groups, read
from pages import DOCS, README, inline, name

COLUMNS = {
    "top1": 100,
    "top5": 100,
    "agreement": 100,
    "float_top1": 100,
    "drop_se": 100,
    "kl": 1,
    "kl_se": 1,
}
# DeiT-Tiny and ViT-Tiny on the full validation set, in timm's results-imagenet.csv; the peak of a
# Jetson AGX Orin in NVIDIA's data sheet
PUBLISHED = {"72.2", "75.5", "42.5"}
SD_TURBO = {"forward_flops": 1e-12, "step_flops": 1e-12, "peak_memory_bytes": 1e-9}
COSTS = {"bytes": 1e-6, "seconds": 1 / 60, "peak_memory_bytes": 1e-9}


def written(value: float) -> set[str]:
    return {f"{abs(value):.{digits}f}" for digits in (1, 2, 3)}


def mixed_bits() -> set[str]:
    """Of each run over its seeds: means and standard deviations, and gains over uniform bits."""
    runs: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
    for row in read(RESULTS / "mixed_bits.csv"):
        key = tuple(row[n] for n in ("model", "width", "method", "steps", "bits"))
        runs.setdefault(key, {})[row["seed"]] = row
    found: set[str] = set()
    for key, rows in runs.items():
        values = {
            column: [factor * float(row[column]) for row in rows.values()]
            for column, factor in {"bytes": 1e-6, "agreement": 100, "top1": 100, "kl": 1}.items()
        }
        uniform = runs[(*key[:-1], "uniform")]
        values["gain"] = [
            100 * (float(row["agreement"]) - float(uniform[seed]["agreement"]))
            for seed, row in rows.items()
            if seed in uniform
        ]
        for own in filter(None, values.values()):
            found |= written(mean(own)) | written(stdev(own) if len(own) > 1 else 0.0)
    for row in read(RESULTS / "sensitivity_prediction.csv"):
        names = ("spearman", "least_measured", "most_measured", "mean_ratio")
        found |= {row[n].removeprefix("-") for n in names}
    return found


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every number that the rows give, as it may be written."""
    found = set(PUBLISHED)
    for model in (*MODELS, *MINIATURES):
        own = float_group(model)
        for group in groups(model):
            found |= written(group.drop)
            top1, images = group.mean("top1"), int(group.images)
            found |= written(100 * (top1 * (1 - top1) / images) ** 0.5)
            for column, factor in (COLUMNS | COSTS).items():
                values = group.values(column, factor)
                found |= {
                    text
                    for v in [*values, *([mean(values)] if values else [])]
                    for text in written(v)
                }
            found |= written(own.mean("bytes") / group.mean("bytes"))
    for row in read(RESULTS / "scale_search.csv"):
        found |= written(100 * float(row["top1"]))
    found |= mixed_bits()
    for row in read(RESULTS / "calibration_sources.csv"):
        found |= written(100 * (float(row["float_top1"]) - float(row["top1"])))
    for row in read(RESULTS / "saliency.csv"):
        for column in ("mae", "iou", "onnx_mae", "onnx_iou"):
            found |= written(float(row[column])) | {f"{float(row[column]):.4f}"}
        for column in ("bytes", "float_bytes", "onnx_bytes"):
            found |= written(1e-6 * float(row[column]))
    for row in read(RESULTS / "sd_turbo_size.csv"):
        for column, factor in SD_TURBO.items():
            found |= written(factor * float(row[column] or 0))
    for row in read(RESULTS / "targets.csv"):
        for column in ("median_ms", "speedup_paired", "speedup_minimum", "top1", "agreement"):
            if row[column]:
                factor = 100 if column in ("top1", "agreement") else 1
                found |= written(float(row[column]) * factor)
    return found


@pytest.mark.parametrize("page", [README, DOCS / "results" / "README.md"], ids=name)
def test_numbers_follow_from_rows(page, known):
    text = " ".join(token.content for token in inline(page) if token.type == "text")
    text = re.sub(r"\d+\.\d+\.\d+|\d{4}\.\d{5}|Python \d\.\d+|W1\.58A8", "", text)
    numbers = re.findall(r"(?<![\w.])\d+\.\d+", text)
    assert numbers, "nothing was checked"
    assert not [number for number in numbers if number not in known]
