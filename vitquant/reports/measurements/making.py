"""How a checkpoint was made, as far as it says."""

from vitquant.checkpoint import history
from vitquant.config.recipe import quantize_command, stored_settings, write_toml
from vitquant.reports.measurements.subject import Subject
from vitquant.reports.sections.making import Curve, Recipe, Training


def training(subject: Subject) -> Training | None:
    """The losses; None where the file holds none."""
    header = subject.header
    stored = header.settings.get(history.KEY)
    if not stored:
        return None
    curves = [
        Curve(name, tuple(stored["steps"]), tuple(values))
        for name, values in stored["curves"].items()
    ]
    settings = header.settings
    return Training(settings["method"], int(settings.get("steps", 0)), tuple(curves))


def recipe(subject: Subject) -> Recipe:
    """The settings as TOML, and the command that they amount to."""
    header = subject.header
    command = quantize_command(header.model, header.bits, header.settings)
    return Recipe(write_toml(stored_settings(header.bits, header.settings), command), (command,))
