"""The table of a whole saliency network, from the rows of docs/results/saliency.csv."""

from generators.rows import RESULTS, label, read, run_label, table

_ROWS = RESULTS / "saliency.csv"
_BITS = ("w8a8", "w4a8", "w4a4")
_HEAD = (
    "bits | method | mean absolute error of the map | IoU at 0.5 | the same in ONNX Runtime | MB | "
    "ONNX MB | minutes, one core"
)


def saliency() -> str:
    """Each row: PyTorch and ONNX Runtime beside the float network."""
    lines = []
    for row in sorted(read(_ROWS), key=lambda row: _BITS.index(row["bits"])):
        found = [f"{float(row['mae']):.4f}", f"{float(row['iou']):.3f}"]
        exported = f"{float(row['onnx_mae']):.4f}, {float(row['onnx_iou']):.3f}"
        sizes = [f"{float(row[name]) * 1e-6:.1f}" for name in ("bytes", "onnx_bytes")]
        minutes = f"{float(row['seconds']) / 60:.0f}"
        run = run_label(row["method"], row["steps"])
        lines.append([label(row["bits"]), run, *found, exported, *sizes, minutes])
    return table(_HEAD, lines)


def saliency_about() -> str:
    """What the rows have in common."""
    rows = read(_ROWS)
    first = rows[0]
    commits = ", ".join(dict.fromkeys(f"`{row['commit']}`" for row in rows))
    return (
        f"{first['images']} validation images, calibrated on {first['samples']} photographs; seed "
        f"{first['seed']}; float {float(first['float_bytes']) * 1e-6:.1f} MB; "
        f"{first['integer_kernels']} integer kernels in the ONNX file, all that there are; commit "
        f"{commits}."
    )
