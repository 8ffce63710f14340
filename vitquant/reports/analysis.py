"""What quantizing each part of a model costs: the figures behind ``vitquant analyze``."""

import csv
import io
from dataclasses import dataclass
from typing import Any

from vitquant.config.analyze import AnalyzeSettings
from vitquant.models.model import Model
from vitquant.quantization.bit_allocation.sensitivity import Column, Part


@dataclass(frozen=True)
class Analysis:
    """What quantizing each part of a model costs.

    Attributes:
        model: the float model.
        images: how many losses were measured on.
        source: of these images.
        parts: layers and matmuls, groups of them and blocks.
        columns: the losses of each, one for each width, alone quantized or alone spared.
        bytes: of each part's weights, at each width.
        time: the share of an exported file's time that each single part takes, and ``"other"``;
            empty where it was not measured.
        settings: what was asked for.
    """

    model: Model
    images: int
    source: str
    parts: list[Part]
    columns: list[Column]
    bytes: list[list[int]]
    time: dict[str, float]
    settings: AnalyzeSettings

    @property
    def loss(self) -> str:
        """What a loss is."""
        return "KL divergence" if self.model.num_classes > 1 else "relative squared error"

    def rows(self) -> list[dict[str, Any]]:
        """One for each part and width: what ``--out FILE.csv`` has."""
        found = []
        for i, part in enumerate(self.parts):
            for j, bits in enumerate(self.settings.bits):
                losses = {c.spared: c.losses[i] for c in self.columns if c.bits == bits}
                row: dict[str, Any] = {
                    "name": part.name,
                    "kind": part.kind,
                    "bits": str(bits),
                    "bytes": self.bytes[i][j],
                    "time_share": self.time_share(part),
                }
                for spared, loss in losses.items():
                    what = "spared" if spared else "alone"
                    row[f"{what}_loss"] = float(f"{loss.divergence:.6g}")
                    row[f"{what}_agreement"] = loss.agreement
                found.append(row)
        return found

    def time_share(self, part: Part) -> float | None:
        """Of an exported file's time; None where it was not measured."""
        if not self.time:
            return None
        return round(sum(self.time[name] for name in part.members), 5)

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant analyze --json`` prints."""
        whole = [
            {
                "bits": str(column.bits),
                "loss": float(f"{column.whole.divergence:.6g}"),
                "agreement": column.whole.agreement,
            }
            for column in self.columns
            if column.spared
        ]
        return {
            "model": self.model.identity.name,
            "float_model": self.model.identity.to_json(),
            "bits": list(map(str, self.settings.bits)),
            "calib": self.source,
            "images": self.images,
            "loss": self.loss,
            "whole": whole,
            "other_time_share": self.time.get("other"),
            "parts": self.rows(),
            "settings": self.settings.to_json(),
        }

    def to_csv(self) -> str:
        """The rows, below the names of their columns."""
        buffer, rows = io.StringIO(), self.rows()
        writer = csv.DictWriter(buffer, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return buffer.getvalue()
