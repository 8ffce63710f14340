"""The images that a checkpoint was calibrated or trained with."""

from vitquant.reports.page.charts.bars import Bar, bars
from vitquant.reports.page.markup import join, tag
from vitquant.reports.page.page import Section, folded, paragraph
from vitquant.reports.page.pictures import captioned
from vitquant.reports.page.tables import table
from vitquant.reports.sections.calibration import Calibration


def calibration_section(found: Calibration) -> Section:
    """Which images, of which classes, and some of them."""
    parts = [paragraph(f"{found.samples:,} images of ", tag("code", found.source), ".")]
    if found.looked_at is None:
        parts.append(paragraph("They are not at hand, and none is shown."))
    elif (found.looked_at, found.found) != (found.source, found.samples):
        parts.append(
            paragraph(f"Shown here: {found.found:,} images of ", tag("code", found.looked_at), ".")
        )
    if found.sheet is not None:
        parts.append(captioned(found.sheet, "Some of the images."))
    if found.counts:
        most, least = found.counts[0].images, found.counts[-1].images
        of = f" of {found.of_classes:,}" if found.of_classes else ""
        each = f"{most:,}" if most == least else f"{least:,} to {most:,}"
        rows = [[c.name, bars([Bar(c.images)], most), f"{c.images:,}"] for c in found.counts]
        counted = table(["class", "", "images"], rows, align="lbr", tall=True)
        parts += [
            paragraph(f"They are of {len(found.counts):,}{of} classes, {each} of each."),
            folded("Images by class", counted),
        ]
    return Section("Calibration images", join(*parts))
