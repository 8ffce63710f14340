"""What learning a prompt costs at the size of SD-Turbo, from docs/results/sd_turbo_size.csv."""

from generators.rows import RESULTS, read, table
from vitquant.core.progress import format_duration

_ROWS = RESULTS / "sd_turbo_size.csv"
_PROMPTS, _STEPS = 1000, 40
# Dense products of bfloat16 (Jetson: float16) with float32 sums, TFLOP/s, as their makers say.
_PEAKS = {"H200": 989, "A100": 312, "RTX 4090": 165, "Jetson AGX Orin 64 GB": 42.5}
_FRACTION = 0.3
_DECODERS = {"full": "its own", "tiny": "tiny (TAESD)"}


def sd_turbo() -> str:
    """A line for each case that was measured."""
    head = (
        "dtype | decoder | checkpointing | TFLOP, forward | TFLOP, with gradients | seconds, "
        "forward | seconds, with gradients | peak memory, GB"
    )
    lines = []
    for row in read(_ROWS):
        case = [row["dtype"], _DECODERS[row["decoder"]], row["checkpointing"]]
        if row["remark"]:
            lines.append([*case, "", "", "", "", row["remark"]])
            continue
        flops = [f"{float(row[n]) * 1e-12:.2f}" for n in ("forward_flops", "step_flops")]
        seconds = [f"{float(row[n]):.0f}" for n in ("forward_cpu_seconds", "step_cpu_seconds")]
        memory = f"{float(row['peak_memory_bytes']) * 1e-9:.1f}"
        lines.append([*case, *flops, *seconds, memory])
    return table(head, lines)


def sd_turbo_about() -> str:
    """What the rows have in common."""
    rows = read(_ROWS)
    commits = ", ".join(dict.fromkeys(f"`{row['commit']}`" for row in rows))
    machines = ", ".join(dict.fromkeys(row["machine"] for row in rows))
    return f"CPU time of one thread, {machines}; one image of 512 pixels; commit {commits}."


def sd_turbo_estimates() -> str:
    """How long prompts would take on GPUs, from the counted FLOPs alone."""
    rows = {
        row["decoder"]: row
        for row in read(_ROWS)
        if (row["dtype"], row["checkpointing"]) == ("bfloat16", "on")
    }
    lines = []
    for name, peak in _PEAKS.items():
        seconds = [_flops(rows[decoder]) / (_FRACTION * peak * 1e12) for decoder in _DECODERS]
        lines.append([name, f"{peak:g}", *map(format_duration, seconds)])
    own = [_PROMPTS * _STEPS * float(rows[d]["step_cpu_seconds"]) for d in _DECODERS]
    lines.append(["one thread of the CPU above, from its seconds", "", *map(format_duration, own)])
    head = "GPU | published peak, TFLOP/s | estimate, its own decoder | estimate, tiny decoder"
    return table(head, lines)


def _flops(row: dict[str, str]) -> float:
    """Of all prompts: their steps, and an image of each before and after."""
    forward, step = float(row["forward_flops"]), float(row["step_flops"])
    return _PROMPTS * (_STEPS * step + 2 * forward)
