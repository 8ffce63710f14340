"""Write the pages of docs/ that follow from the code, or from measured rows.

``python docs/generate.py`` writes them; with ``--check`` it compares them and exits with code 1
where one has to be written again. README.md and results/README.md are filled between their marks.
Pictures need matplotlib. With ``--models`` it first tries each step on a small model of each family
of the page on supported models that has no row yet; names behind it measure those families again.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from generators import command_line, plots, python_api, results, supported_models, targets

DOCS = Path(__file__).parent
PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": command_line.page,
    python_api.PAGE: python_api.page,
    supported_models.PAGE: supported_models.page,
    "results/targets.md": targets.page,
    "results/README.md": lambda: results.fill(DOCS / "results" / "README.md"),
    "../README.md": lambda: results.fill(DOCS.parent / "README.md"),
}


def main(arguments: list[str]) -> int:
    """Write or check the pages; returns the exit code."""
    if arguments[:1] == ["--models"]:
        from generators.model_families import write_rows  # imports torch and timm

        write_rows(arguments[1:])
    texts = {name: page() for name, page in PAGES.items()}
    stale = {name: text for name, text in texts.items() if _read(DOCS / name) != text}
    undrawn = [name for name in plots.PICTURES if not plots.is_current(name)]
    if arguments == ["--check"]:
        for name in (*stale, *undrawn):
            print(f"docs/{name} is out of date; python docs/generate.py writes it", file=sys.stderr)
        return 1 if stale or undrawn else 0
    for name, text in stale.items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"docs/{name}")
    for name in undrawn:
        print(plots.draw(name).relative_to(DOCS.parent))
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
