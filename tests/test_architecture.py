"""Imports point downwards, folders and files are small, private names of torch are in one file."""

import ast
from pathlib import Path

import vitquant

PACKAGE = Path(vitquant.__file__).parent
FLOORS = (
    "core", "config", "data", "models", "quantization", "checkpoint", "evaluation", "synthesis",
    "exporters", "benchmark", "reports", "hub", "workflows", "cli",
)  # fmt: skip
QUANTIZATION = (
    "quantizers", "layers", "graph", "transforms", "ptq", "training", "bit_allocation", "methods",
)  # fmt: skip
MOST_FILES, MOST_LINES, MOST_LINES_OF_A_FUNCTION = 12, 250, 80

# What has no floor: the bundled models with how they were trained, and data.
WITHOUT_FLOOR = ("miniature", "recipes")


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def place(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def imported(file: Path) -> set[tuple[str, ...]]:
    """The parts behind ``vitquant`` of what a file imports from the package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {tuple(name.split(".")[1:]) for name in found if name.startswith("vitquant.")}


def upward(floors: tuple[str, ...], depth: int) -> list[str]:
    found = []
    for file in files():
        parts = file.relative_to(PACKAGE).parts
        if len(parts) <= depth + 1 or parts[depth] not in floors:
            continue
        for name in imported(file):
            same = name[:depth] == parts[:depth] and len(name) > depth
            above = floors[floors.index(parts[depth]) + 1 :]
            if same and name[depth] in above:
                found.append(f"{place(file)} imports {'.'.join(name)}")
    return found


def test_imports_point_downwards():
    assert upward(FLOORS, 0) == []


def test_so_do_those_inside_quantization():
    assert upward(QUANTIZATION, 1) == []


def test_every_folder_has_a_floor():
    folders = {file.relative_to(PACKAGE).parts[0] for file in files()} - set(WITHOUT_FLOOR)
    assert {name for name in folders if not name.endswith(".py")} <= set(FLOORS)
    inside = {p.name for p in (PACKAGE / "quantization").iterdir() if (p / "__init__.py").exists()}
    assert inside <= set(QUANTIZATION)


def test_folders_are_small():
    for folder in {file.parent for file in files()}:
        if folder != PACKAGE:
            names = [file.name for file in folder.glob("*.py") if file.name != "__init__.py"]
            assert len(names) <= MOST_FILES, folder


def test_files_and_functions_are_small():
    for file in files():
        text = file.read_text()
        assert len(text.splitlines()) <= MOST_LINES, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= MOST_LINES_OF_A_FUNCTION, f"{file}: {node.name}"


def private(file: Path) -> set[str]:
    """Names of torch that begin with an underscore, imported or reached by dots."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "torch":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Attribute):
            found.add(ast.unparse(node))
    return {
        name
        for name in found
        if name.startswith("torch.")
        and any(p.startswith("_") and not p.endswith("__") for p in name.split("."))
    }


def test_private_names_of_torch_are_in_one_file():
    for file in files():
        if place(file) != "core/torch_private.py":
            assert not private(file), file
    assert private(PACKAGE / "core" / "torch_private.py")
