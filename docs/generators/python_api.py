"""The reference of the Python API, from its signatures and docstrings."""

from functools import cache

from generators.docstrings import markdown
from generators.prose import unwrap
from generators.python_source import Function, function, klass, public_names

PAGE = "reference/python.md"
_HEAD = """
# Python

<!-- Written by docs/generate.py: edit the docstrings in vitquant/ instead. -->

This page lists the public functions, the objects that they return, and the errors that they raise.
Here is a whole run, on a small model and images that come with the package:

<!-- example -->
```python
import timm
import vitquant

quantized = vitquant.quantize("vit_digits", "w4a4", "digits", method="rtn")
print(quantized.fidelity)
quantized.save("vit_digits-w4a4.safetensors")

model = vitquant.load("vit_digits-w4a4.safetensors")
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))

scores = vitquant.evaluate("vit_digits-w4a4.safetensors", "digits", reference="float")
print(scores.found.accuracy.top1, scores.found.agreement)

vitquant.export("vit_digits-w4a4.safetensors", "vit_digits-w4a4.onnx")
```

- Each function does what the command of the same name does. `evaluate` is `vitquant eval`.
- The options of the command are keywords, with `_` for `-`: `--batch-size 8` is `batch_size=8`.
  [Commands and options](cli.md) has their meaning and their defaults.
- Nothing is printed. Pass a [`Progress`](#progress) to follow a run.
- A result has `to_json()`, which returns what the command prints with [`--json`](json.md). The
  result of `quantize` does not have it.
- `import vitquant` is quick: torch and timm are imported when a function is first looked up.
"""
CLASSES = {
    "quantize": ("workflows.ptq.Quantized", "evaluation.agreement.Fidelity"),
    "load": (),
    "analyze": ("reports.analysis.Analysis",),
    "evaluate": (
        "workflows.results.evaluated.Evaluated",
        "evaluation.accuracy.Evaluation",
        "evaluation.accuracy.Accuracy",
        "evaluation.outputs.OutputEvaluation",
        "evaluation.output_error.OutputError",
        "evaluation.neighbors.NeighborScores",
    ),
    "export": (
        "workflows.export.Exported",
        "exporters.verification.Verification",
        "exporters.verification.Run",
        "evaluation.agreement.OutputAgreement",
    ),
    "report": ("reports.report.Report",),
    "bench": (
        "workflows.bench.Benchmarked",
        "benchmark.rows.Row",
        "benchmark.rows.Latency",
        "benchmark.rows.Speedup",
        "benchmark.rows.Scores",
        "benchmark.rows.KindTime",
    ),
    "synthesize": (
        "workflows.synthesize.Synthesized",
        "synthesis.image_folder.GeneratedFolder",
        "synthesis.quality.ImageSetMetrics",
    ),
    "learn_prompts": (
        "workflows.learn_prompts.LearnedPrompts",
        "synthesis.diffusion.prompt_file.PromptMetrics",
    ),
    "Models": ("models.model.Model", "models.model.ModelIdentity"),
    "Objects that you pass": ("data.image_source.ImageSource", "core.progress.Progress"),
    "Errors": ("core.errors.UserError", "core.errors.CheckFailedError"),
}
"""By heading: a function has its own. Behind it, what it returns and what that holds."""
_COMMANDS = {
    "quantize": "MODEL",
    "eval": "MODEL",
    "export": "FILE",
    "inspect": "FILE",
    "report": "FILE",
    "bench": "FILE",
    "synthesize": "MODEL",
    "learn-prompts": "MODEL",
}
"""With their arguments, as in the headings of cli.md."""


def page() -> str:
    """The reference of the Python API, in Markdown."""
    homes = public_names()
    parts = [unwrap(_HEAD)]
    for heading, classes in CLASSES.items():
        parts.append(f"## {heading}\n")
        if heading in homes:
            parts += _function(function(homes[heading], heading))
        for path in classes:
            module, _, name = path.rpartition(".")
            parts.append(f"### {name}\n")
            parts += _class(f"vitquant.{module}", name)
    return "\n".join(parts).rstrip("\n") + "\n"


def _function(found: Function) -> list[str]:
    sections, parameters = found.about.sections, "\n".join(f"    {p}," for p in found.parameters)
    lines = [
        f"```python\nvitquant.{found.name}(\n{parameters}\n) -> {found.returns}\n```\n",
        f"{_text(found.about.text)}\n",
        *_table("argument", sections["Args"], found.types),
    ]
    returned = _cell(sections.get("Returns", {}).get("", ""))
    lines.append(f"**Returns** {_type(found.returns)}{': ' if returned else '.'}{returned}\n")
    for name, text in sections.get("Raises", {}).items():
        lines.append(f"**Raises** {_type(name)}: {_cell(text)}\n")
    return lines


def _class(module: str, name: str) -> list[str]:
    found = klass(module, name)
    lines = [f"{_text(found.about.text)}\n"]
    if found.attributes:
        lines += _table("attribute", found.attributes, found.types)
    if found.methods:
        lines += ["| method | |", "| --- | --- |", *map(_method, found.methods), ""]
    return lines


def _method(found: Function) -> str:
    call = f"{found.name}({', '.join(found.parameters)}) -> {found.returns}"
    return f"| {_code(call)} | {_cell(found.about.text)} |"


def _table(title: str, texts: dict[str, str], types: dict[str, str]) -> list[str]:
    lines = [f"| {title} | type | |", "| --- | --- | --- |"]
    for names, text in texts.items():
        several = names.split(", ")
        shown = dict.fromkeys(_type(types[name]) for name in several)
        cells = [", ".join(map(_code, several)), ", ".join(shown), _cell(text)]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _type(text: str) -> str:
    """A type as code; a class that the page has links to its heading."""
    name = text.removesuffix(" | None").removeprefix("list[").removesuffix("]")
    return f"[{_code(text)}]({_anchors()[name]})" if name in _anchors() else _code(text)


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`"


def _cell(text: str) -> str:
    """A text in one paragraph, which begins as a sentence does."""
    return _text(text[:1].upper() + text[1:]).replace("\n\n", " ")


def _text(text: str) -> str:
    return markdown(text, PAGE, _anchors())


@cache
def _anchors() -> dict[str, str]:
    """Links of what texts name: headings of this page, and commands."""
    names = [*CLASSES, *(path.rpartition(".")[2] for c in CLASSES.values() for path in c)]
    links = {name: f"#{name.lower()}" for name in names}
    for name, argument in _COMMANDS.items():
        links[f"vitquant {name}"] = f"cli.md#vitquant-{name}-{argument.lower()}"
    return links
