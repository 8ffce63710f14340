"""``vitquant inspect``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitquant.cli import arguments, console
from vitquant.config.recipe import quantize_command, stored_settings, write_toml
from vitquant.core.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table


def inspect(
    file: arguments.CheckpointName,
    json: arguments.Json = False,
    recipe: Annotated[
        bool,
        typer.Option("--recipe", help="Print the settings as TOML, for quantize --recipe."),
    ] = False,
) -> None:
    """Show what a checkpoint holds: layers, bits, bytes, what stayed float, and what made it."""
    if json and recipe:
        raise UserError("--recipe: it prints TOML, and --json prints JSON; leave one of them out")
    from vitquant.checkpoint.read import read_checkpoint
    from vitquant.reports.summary import report
    from vitquant.workflows.open import resolve_checkpoint

    file = arguments.name_or_stdin(file)
    checkpoint = read_checkpoint(resolve_checkpoint(file).path)
    header = checkpoint.header
    command = quantize_command(header.model, header.bits, header.settings)
    if recipe:
        kept = stored_settings(header.bits, header.settings)
        console.result(write_toml(kept, command).rstrip("\n"))
        return
    found = report(checkpoint)
    if json:
        console.result_json(found)
        return
    console.result_table(_layers(found))
    console.result_table(_float(found))
    for line in found["float_operations"]:
        console.result(f"computed in float: {line}")
    console.result(f"made by: {command}")
    bits = found["bits"]
    if header.is_mixed:
        bits += (
            f" mixed ({found['mean_weight_bits']:.2f} bits a weight, "
            f"{found['mean_activation_bits']:.2f} an activation)"
        )
    console.result(
        f"{file}: {found['model']} {bits} for {found['target']}, "
        f"{found['bytes']:,} bytes, float "
        f"{found['float_bytes']:,} ({found['float_bytes'] / found['bytes']:.1f} times smaller)"
    )


def _layers(found: dict[str, Any]) -> "Table":
    from rich.table import Table

    table = Table("layer", "kind", "W", "A", "shape", "bytes", "SQNR dB", "rescaling")
    for row in found["layers"]:
        weight = "" if row["weight_bits"] is None else f"{row['weight_bits']:g}"
        shape = "" if row["shape"] is None else "x".join(map(str, row["shape"]))
        sqnr = "" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}"
        bits, own = str(row["activation_bits"]), row.get("prefix_bits", 0)
        bits = f"i{bits}" if row["signed_activations"] else bits
        bits = bits if own in (0, row["activation_bits"]) else f"{bits} ({own})"
        table.add_row(
            row["name"], row["kind"], weight, bits, shape, f"{row['bytes']:,}", sqnr,
            row["rescaling"],
        )  # fmt: skip
    return table


def _float(found: dict[str, Any]) -> "Table":
    from rich.table import Table

    table = Table("stayed float", "bytes", "why")
    grouped: dict[str, tuple[int, int]] = {}
    for row in found["kept_float"]:
        count, size = grouped.get(row["why"], (0, 0))
        grouped[row["why"]] = count + 1, size + row["bytes"]
    for why, (count, size) in sorted(grouped.items(), key=lambda item: -item[1][1]):
        table.add_row(f"{count} tensors", f"{size:,}", why)
    return table
