"""Which architectures can be quantized, from the rows that model_families.py found."""

from collections.abc import Iterator
from pathlib import Path

from generators.prose import unwrap
from generators.rows import Row, read, table

PAGE = "reference/supported-models.md"
_ROWS = Path(__file__).parents[1] / "reference" / "supported-models.csv"
_COLUMNS = ("layers", "matmuls", "constant", "attention", "verdict")
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
"""By the example of a row."""
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

This page lists families of timm that vitquant can quantize, and says what makes it refuse a model.
[Concepts](../concepts.md) says what is quantized in a model and what stays float.

No class of a model is known to vitquant: it runs the model once and looks at what is computed. So
architectures that are not in the table can work too.

## Families

One small member of each family was built by timm {timm} with random weights, and its layers and
matmuls were found. The table says nothing about accuracy, which
[`vitquant eval`](cli.md#vitquant-eval-model) measures.

| column | |
| --- | --- |
| layers | Linear and Conv2d layers that are quantized |
| matmuls | products of two activations that are quantized |
| constant | layers that stay float because their input is the same for every image |
| attention | whether all attention is computed by quantized matmuls |

| verdict | |
| --- | --- |
| accepted | the model was quantized, saved and loaded, and the loaded model computes the same |
| refused | a part of it cannot be quantized, see [What is refused](#what-is-refused) |
| fails | a defect of vitquant: the run ends with the error in the last column |
"""
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
    """The table of families, and how it comes about, in Markdown."""
    rows = read(_ROWS)
    versions = ", ".join(dict.fromkeys(row["timm"] for row in rows))
    families = table(
        " | ".join(["family", "example", *_COLUMNS, "remarks, or why not"]), map(_line, rows)
    )
    reasons = table("reason | what the module does", REASONS.items())
    parts = [unwrap(_HEAD.format(timm=versions)), families, "", unwrap(_BEHIND), reasons, ""]
    return "\n".join([*parts, unwrap(_END)])


def _line(row: Row) -> Iterator[str]:
    yield row["family"]
    yield f"`{row['example']}`"
    yield from (row[name] for name in _COLUMNS)
    yield "; ".join(note for note in (row["reason"], REMARKS.get(row["example"])) if note)
