"""Signatures, annotations and docstrings of the package, read from its source: nothing of it is
imported, which would take torch and timm along."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from generators.docstrings import Docstring, parse

_ROOT = Path(__file__).parents[2]
_SPECIAL = ("__call__", "__len__")
_LENGTH = "How many there are."


@dataclass(frozen=True)
class Function:
    """types: of the parameters, by name. parameters: as a signature writes them."""

    name: str
    about: Docstring
    parameters: list[str]
    types: dict[str, str]
    returns: str


@dataclass(frozen=True)
class Class:
    """attributes: texts of fields and properties; several names that share one are joined."""

    about: Docstring
    attributes: dict[str, str]
    types: dict[str, str]
    methods: list[Function]


def public_names() -> dict[str, str]:
    """The module of each public name, as the package declares it for type checkers."""
    nodes = [n for n in ast.walk(_tree("vitquant")) if isinstance(n, ast.ImportFrom)]
    return {
        alias.name: node.module
        for node in nodes
        for alias in node.names
        if node.module is not None and node.module.startswith("vitquant.")
    }


def function(module: str, name: str) -> Function:
    """A function at the top of a module."""
    nodes = [n for n in _tree(module).body if isinstance(n, ast.FunctionDef) and n.name == name]
    return _function(module, nodes[0])


def klass(module: str, name: str) -> Class:
    """A class at the top of a module, with what is public in it."""
    (node,) = [n for n in _tree(module).body if isinstance(n, ast.ClassDef) and n.name == name]
    about = parse(ast.get_docstring(node) or "")
    attributes = about.sections.get("Attributes", {}) | dict(_texts_behind(node))
    types = {name: _type(module, annotation) for name, annotation in _fields(node)}
    methods = []
    for method in node.body:
        if not isinstance(method, ast.FunctionDef) or not _is_public(method):
            continue
        found = _function(module, method)
        if any(ast.unparse(mark) == "property" for mark in method.decorator_list):
            attributes[found.name], types[found.name] = found.about.text, found.returns
        else:
            methods.append(found)
    return Class(about, attributes, types, methods)


def _function(module: str, node: ast.FunctionDef) -> Function:
    about = parse(ast.get_docstring(node) or (_LENGTH if node.name == "__len__" else ""))
    own = node.args
    last = [own.kwarg] if own.kwarg is not None else []
    arguments = [a for a in [*own.args, *own.kwonlyargs, *last] if a.arg != "self"]
    types = {a.arg: _type(module, a.annotation) for a in arguments}
    parameters = list(_parameters(own, types))
    return Function(node.name, about, parameters, types, _type(module, node.returns))


def _parameters(arguments: ast.arguments, types: dict[str, str]) -> Iterator[str]:
    required = len(arguments.args) - len(arguments.defaults)
    defaults = [*[None] * required, *arguments.defaults]
    for argument, default in zip(arguments.args, defaults, strict=True):
        if argument.arg in types:
            yield _parameter(argument.arg, types, default)
    if arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument.arg, types, default)
    if arguments.kwarg is not None:
        yield f"**{_parameter(arguments.kwarg.arg, types)}"


def _parameter(name: str, types: dict[str, str], default: ast.expr | None = None) -> str:
    value = "" if default is None else f" = {ast.unparse(default)}".replace("'", '"')
    return f"{name}: {types[name]}{value}"


def _is_public(method: ast.FunctionDef) -> bool:
    made_by_class = any(ast.unparse(mark) == "classmethod" for mark in method.decorator_list)
    return method.name in _SPECIAL or not (method.name.startswith("_") or made_by_class)


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            yield field.target.id, field.annotation


def _texts_behind(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The strings behind fields that have one."""
    for field, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
            yield ast.unparse(field.target), parse(ast.literal_eval(after.value)).text


def _type(module: str, annotation: ast.expr | None) -> str:
    """An annotation, with what a name of the module stands for in its place."""
    if annotation is None:
        return "None"
    if isinstance(annotation, ast.Constant) and annotation.value is not None:
        return str(annotation.value)  # the name of a class, in quotes
    text = ast.unparse(annotation)
    for node in _tree(module).body:
        if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call):
            text = re.sub(rf"\b{ast.unparse(node.targets[0])}\b", ast.unparse(node.value), text)
    return text


@cache
def _tree(module: str) -> ast.Module:
    path = _ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))
