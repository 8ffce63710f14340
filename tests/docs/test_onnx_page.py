"""The metadata and the opsets that the page on exported files names are those of a file."""

import json
import re
from pathlib import Path

import onnx
import pytest

import vitquant
from vitquant.config.targets import TARGETS
from vitquant.exporters.onnx.graph import INT16, WEIGHT_TYPES

TEXT = (Path(__file__).parents[2] / "docs/reference/onnx.md").read_text(encoding="utf-8")


def rows(head: str) -> list[list[str]]:
    """The cells of the table with a head."""
    lines = TEXT.partition(f"{head}\n")[2].partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_opsets_are_those_that_are_written():
    found = [int(row[1]) for row in rows("| the file has | opset | ONNX Runtime |")]
    int2, int4, int8 = (WEIGHT_TYPES[name].opset for name in ("int2", "int4", "int8"))
    assert found == [int8, int4, int2, INT16.opset]


def test_the_table_of_targets_is_what_they_are():
    names = ["onnxruntime", "openvino", "tensorrt"]
    head = "| | `onnxruntime` | `openvino` | `tensorrt` |"
    found = {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows(head)}
    assert set(TARGETS) == set(names)
    for name, target in TARGETS.items():
        assert found["narrowest weights"][name] == target.weight_types[0]
        assert found["highest opset"][name] == str(target.highest_opset)
        assert found["between the integer products"][name] == target.rest
        assert found["scales of heads"][name] == ("yes" if target.head_scales else "no")
        assert found["scales of prefix tokens"][name] == ("yes" if target.prefix_scales else "no")
        assert found["16-bit integer activations"][name] == ("yes" if target.int16 else "no")
        assert found["biases"][name] == ("int32" if target.int32_bias else "float")
        assert ("byte" in found["levels below 8 bits"][name]) == target.clips_integers
        assert (found["overlapping convolution"][name] == "`ConvInteger`") == target.conv_integer


@pytest.mark.slow
def test_the_metadata_has_the_keys_of_the_page(tmp_path):
    brief = {"method": "rtn", "samples": 4, "init_images": 4}
    quantized = vitquant.quantize("vit_digits", "w4a4", "digits", **brief)
    vitquant.export(quantized, tmp_path / "vit.onnx", images=2, min_agreement=0.0)
    model = onnx.load(tmp_path / "vit.onnx")
    found = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert set(found) == {row[0].strip("`") for row in rows("| key | type | |")}
    own = {row[0].strip("`") for row in rows("| key of `settings` | type | |")}
    assert own <= set(found["settings"])
    assert own >= set(found["settings"]) - set(quantized.header.settings)
    assert {i.name for i in model.graph.input} == {"images"}
    assert {o.name for o in model.graph.output} == {"logits"}
    names = {node.name for node in model.graph.node}
    assert set(re.findall(r"`(blocks\.[\w.]+)`", TEXT)) <= names
