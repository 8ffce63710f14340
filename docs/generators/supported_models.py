"""Which architectures can be quantized, from the rows that model_families.py found."""

from collections.abc import Iterator
from pathlib import Path

from generators.prose import unwrap
from generators.rows import Row, read, table

PAGE = "reference/supported-models.md"
_ROWS = Path(__file__).parents[1] / "reference" / "supported-models.csv"
_METHODS = ("rtn", "repq", "dfq", "joint", "block")
_STEPS = {name: f"`{name}`" for name in _METHODS} | {
    "checkpoint": "checkpoint",
    "onnx": "ONNX",
    "openvino": "OpenVINO",
    "inversion": "inversion",
}
_FOUND = ("layers", "matmuls", "constant", "attention")
_NOTHING = "none"
_QUERY = "the query of the class token in the first class attention"
_BIAS = "the network of the position bias"
_FUNCTIONAL = (
    "`qkv` is called through `F.linear`; the rescaling of `qkv` and `proj` is stored, not folded"
)
REMARKS = {
    "vit_relpos_small_patch16_224": f"constant: {_BIAS}",
    "vit_base_patch16_siglip_224": "constant: the projection of the pooling's latent query",
    "eva02_tiny_patch14_224": _FUNCTIONAL,
    "beit_base_patch16_224": _FUNCTIONAL,
    "beitv2_base_patch16_224": _FUNCTIONAL,
    "swinv2_tiny_window8_256": f"constant: {_BIAS}; normalization comes after each branch, so "
    "rescaling is stored, except at the head",
    "swinv2_cr_tiny_224": f"constant: {_BIAS}",
    "cait_xxs24_224": f"constant: {_QUERY}",
    "convit_tiny": "constant: the projections of relative positions",
    "xcit_nano_12_p16_224": f"constant: the position encoding, and {_QUERY}",
    "edgenext_xx_small": "constant: the position encoding",
    "volo_d1_224": f"constant: {_QUERY}",
    "fastvit_t8": "a convolutional network without attention",
    "mobilevitv2_050": "attention by elementwise products",
}
"""Of timm, by the example of a row."""
REASONS = {
    "nn.MultiheadAttention": "it calls `F.multi_head_attention_forward`",
    "torch.einsum, torch.baddbmm, torch.addbmm, torch.addmm, torch.tensordot, torch.bilinear": (
        "it calls that function"
    ),
    "conv1d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d": (
        "it runs such a convolution"
    ),
    "a matmul with a bare parameter": "a product, `F.linear` or a convolution uses a parameter "
    "that is not the weight of a Linear or Conv2d",
    "an input that it changes first": "a Linear or Conv2d has a forward pass of its own, such as a "
    "convolution that pads its input",
    "an attention without a visible matmul": "its class has `attention` or `attn` in its name and "
    "runs layers, and no product was seen in it",
}
"""Why a model is refused, and what the module does that is to blame."""
_HEAD = """
# Supported models

<!-- Written by docs/generate.py from supported-models.csv, which its option --models writes. -->

This page lists families of models of timm, transformers and torchvision, and which steps of
vitquant work for them. [Concepts](../concepts.md) says what is quantized in a model and what stays
float.

No class of a model is known to vitquant: it runs the model once and looks at what is computed. So
architectures that are not in the tables can work too.

One member of each family was built with random weights, at small size where the library can: often
two blocks and images of 64 pixels. Every step was tried on it at W8A8 with two images. The tables
say nothing about accuracy, which [`vitquant eval`](cli.md#vitquant-eval-model) measures.
"""
_LEGEND = {
    "layers": "Linear and Conv2d layers that are quantized",
    "matmuls": "products of two activations that are quantized",
    "constant": "layers that stay float because their input is the same for every image",
    "attention": "whether all attention is computed by quantized matmuls",
    "methods": "whether `rtn`, `repq`, `dfq`, `joint` and `block` ran, the last two for two steps; "
    "with `--allow-float` where the model is [refused](#what-is-refused) without",
    "checkpoint": "whether the checkpoint of each method was read back and computes the same, bit "
    "for bit",
    "ONNX": "whether the exported file of `rtn` passed its [verification](onnx.md): how many of "
    "the products that are to run on integer kernels do so in ONNX Runtime",
    "OpenVINO": "whether the same file passed it in OpenVINO",
    "inversion": "whether images were made by `synthesize --inversion`; – without a classifier",
    "remarks": "why something does not work, and what else there is to know",
}
_BEHIND = """
## Try another architecture

This program builds a model with random weights and finds its layers and matmuls. It downloads
nothing.

<!-- example -->
```python
import timm

from vitquant.quantization.graph.points import example_inputs, find_points

model = timm.create_model("vit_tiny_patch16_224").eval()
size = timm.data.resolve_model_data_config(model)["input_size"]
points = find_points(model, example_inputs(size))
print(len(points.layers), "layers,", len(points.matmuls), "matmuls")
print("constant:", points.constant)
print("refused:", dict(points.unsupported))
```

It prints:

```text
50 layers, 24 matmuls
constant: ()
refused: {}
```

## How layers and matmuls are found

Two forward passes on noise are observed. A `TorchFunctionMode` sees every call of a torch function,
together with the module that makes it. Quantized are:

- Linear and Conv2d modules that run, if their input differs between the two passes.
- The products `a @ b`, `torch.matmul`, `torch.bmm` and `torch.mm` of two activations.
- `F.scaled_dot_product_attention`, which is computed as two products with the softmax between them.

Attention modules keep their code. While such a module runs, the same mechanism routes its products
to quantized ones, in the order of execution. Some attentions call `F.linear` on the weight of one
of their own layers, because they add a bias in their own way: Swin V2, EVA and BEiT do. The call
then goes to the quantized layer. vitquant relies on no signature of timm's attention classes.

## What is refused

A model is refused if a part of it multiplies where it cannot be intercepted. This is found before
calibration images are generated or read. The exit code is 2, and the message names the class of the
module. The reasons are:
"""
_END = """
`--allow-float` leaves such a part float and quantizes everything else. The run then says so on
stderr, and so do `float_parts` of [`--json`](json.md), `unreached` in the
[checkpoint](checkpoint.md) and `vitquant inspect`.

A model that is quantized already is refused too.
"""


def page() -> str:
    """The tables of families, and how they come about, in Markdown."""
    rows = read(_ROWS)
    legend = table("column | ", _LEGEND.items())
    parts = [unwrap(_HEAD), legend, ""]
    for library in dict.fromkeys(row["library"] for row in rows):
        own = [row for row in rows if row["library"] == library]
        versions = ", ".join(dict.fromkeys(row["version"] for row in own))
        parts += [f"## Families of {library}\n", f"With {library} {versions}:\n"]
        parts += [table(" | ".join(["family", "example", *_LEGEND]), map(_line, own)), ""]
    reasons = table("reason | what the module does", REASONS.items())
    return "\n".join([*parts, unwrap(_BEHIND), reasons, "", unwrap(_END)])


def _line(row: Row) -> Iterator[str]:
    yield row["family"]
    yield f"`{row['example']}`"
    yield from (row[name] for name in _FOUND)
    yield _methods(row)
    yield _short(row["checkpoint"])
    yield row["kernels"] if row["onnx"] == "yes" else _short(row["onnx"])
    yield _short(row["openvino"])
    yield _short(row["inversion"])
    yield "; ".join(_remarks(row))


def _short(cell: str) -> str:
    return {"yes": "yes", _NOTHING: "–"}.get(cell, "no")


def _methods(row: Row) -> str:
    works = sum(row[name] == "yes" for name in _METHODS)
    count = "yes" if works == len(_METHODS) else f"{works} of {len(_METHODS)}" if works else "no"
    return f"{count}, with `--allow-float`" if row["refused"] and works else count


def _remarks(row: Row) -> Iterator[str]:
    """What is refused, the reasons of what does not work, and what else there is to know."""
    if row["refused"]:
        yield row["refused"]
    failed: dict[str, list[str]] = {}
    for column, name in _STEPS.items():
        if row[column] not in ("yes", _NOTHING):
            failed.setdefault(row[column], []).append(name)
    for reason, names in failed.items():
        yield f"{', '.join(names)}: {reason}".replace("|", "\\|")
    if row["library"] == "timm" and row["example"] in REMARKS:
        yield REMARKS[row["example"]]
