"""Exported files timed side by side, from the rows that ``vitquant bench`` appends."""

from collections.abc import Iterator, Sequence
from operator import itemgetter

from generators.rows import RESULTS, Row, read, table

_NAMES = {"deit_tiny": "DeiT-Tiny", "deit_small": "DeiT-Small"}
_HEAD = (
    "# Exported files side by side\n\n"
    "<!-- Written by docs/generate.py from targets.csv: vitquant bench appends its rows there. -->"
    "\n\nThis page shows how long exported files take for one image, beside the float model and "
    "beside the int8 model that each runtime makes by itself. [Choose a target]"
    "(../how-to/choose-a-target.md) says which file goes with which runtime. [`vitquant bench`]"
    "(../reference/cli.md#vitquant-bench-file) makes such a table on your machine.\n\n"
    "Each table is one interleaved run: in each round, every file runs once.\n\n"
    "| column | |\n| --- | --- |\n"
    "| ms | milliseconds for one image, the median of the rounds |\n"
    "| 10% to 90% | the tenth and the ninetieth percentile of the rounds |\n"
    "| times float | the float model's time in the same runtime, divided by the file's: the median "
    "of the ratios of each round |\n"
    "| fastest ms | the fastest round. Other work on a machine makes rounds longer and never "
    "shorter |\n"
    "| times float, fastest | the ratio of the fastest rounds |\n"
    "| top-1 % | of the labeled images of `--data`, where it was measured |\n"
    "| agreement % | how often the file's top-1 prediction is that of its checkpoint in PyTorch, "
    "on the same images |\n"
)
_GLANCE = (
    "How many times as fast as the float model in the same runtime, each runtime with the file for "
    "it. With one thread, rounds agree well. With two, on this shared machine, a round takes "
    "either the fastest time or nearly twice that: two runs of 120 rounds differed by a fifth.\n"
)
_FILES = """W8A8 is `rtn`, W4A4 is `joint` with 200 steps, seed 0, at commit `239e0d1`.
DeiT-Small has random weights, so its files have no accuracy. `-openvino` in a name means
`--target openvino`. The rows were written by

```sh
vitquant bench FILES --model deit_tiny --weights $DATA/deit_tiny_patch16_224.safetensors \\
  --calib $DATA/imagenet/calib --threads 1 --repeats 100 --no-memory --out targets.csv
```

with `--threads 2 --repeats 120`, for DeiT-Small on one thread with `--repeats 60`, and for top-1
`--data $DATA/imagenet/val --reference CHECKPOINTS`.
"""
_COLUMNS = (
    "runtime | file | ms | 10% to 90% | times float | fastest ms | times float, fastest | MB | "
    "top-1 % | agreement %"
)


def page() -> str:
    """The table of all rows that ``vitquant bench`` wrote, in Markdown."""
    rows = read(RESULTS / "targets.csv")
    run_of = itemgetter("model", "device", "threads", "versions")
    parts = [_HEAD, _summary(rows), _FILES]
    for run in sorted(dict.fromkeys(map(run_of, rows)), key=itemgetter(0, 2)):
        model, device, threads, versions = run
        own = [row for row in rows if run_of(row) == run]
        rounds = own[0]["repeats"]
        parts += [
            f"## {_NAMES[model]}, {_threads(threads)}\n\n"
            f"{device}, {rounds} rounds. Versions: {versions}.\n",
            table(_COLUMNS, map(_line, sorted(own, key=itemgetter("runtime")))),
            "",
        ]
    return "\n".join(parts)


def _threads(count: str) -> str:
    return "1 thread" if count == "1" else f"{count} threads"


def _summary(rows: Sequence[Row]) -> str:
    """Times float of each runtime's own file, a line for each model and number of threads."""
    lines = []
    for model, threads in sorted({(row["model"], row["threads"]) for row in rows}):
        cells = []
        for runtime in ("onnxruntime", "openvino"):
            own = [r for r in rows if (r["model"], r["threads"]) == (model, threads)]
            own = [r for r in own if r["runtime"] == runtime and r["kind"] != "float"]
            for bits in ("w8a8", "w4a4"):
                cells += [r for r in own if bits in r["name"] and _is_for(runtime, r["name"])]
            cells += [r for r in own if r["kind"] == "int8"]
        speeds = (f"{float(row['speedup_paired']):.2f}" for row in cells)
        lines.append([_NAMES[model], threads, *speeds])
    head = (
        "model | threads | ONNX Runtime: W8A8 | W4A4 | its own int8 | OpenVINO: W8A8 | W4A4 | "
        "its own int8 (NNCF)"
    )
    return "\n".join(["## At a glance\n", _GLANCE, table(head, lines), ""])


def _is_for(runtime: str, name: str) -> bool:
    return ("openvino" in name) == (runtime == "openvino")


def _line(row: Row) -> Iterator[str]:
    yield row["runtime"]
    yield row["name"] + (" (its own int8)" if row["kind"] == "int8" else "")
    yield f"{float(row['median_ms']):.2f}"
    yield f"{float(row['p10_ms']):.2f} to {float(row['p90_ms']):.2f}"
    yield f"{float(row['speedup_paired']):.2f}"
    yield f"{float(row['minimum_ms']):.2f}"
    yield f"{float(row['speedup_minimum']):.2f}"
    yield f"{int(row['bytes']) / 1e6:.2f}"
    for name in ("top1", "agreement"):
        yield f"{100 * float(row[name]):.2f}" if row[name] else ""
