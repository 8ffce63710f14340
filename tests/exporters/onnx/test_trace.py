"""What is done to a traced graph before it is lowered."""

import onnx
import pytest

from vitquant.exporters.onnx.trace import name_after_modules


def test_nodes_are_named_after_the_innermost_module():
    names = {"x": "['', 'blocks.0', 'blocks.0.fc', 'mul']", "y": "['', 'blocks.0', 'add']", "z": ""}
    nodes = [onnx.helper.make_node("Relu", ["a"], ["b"], name=name) for name in names]
    for node, scopes in zip(nodes, names.values(), strict=True):
        if scopes:
            node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    model = onnx.ModelProto(graph=onnx.GraphProto(node=nodes))
    name_after_modules(model, {"blocks.0.fc": "fc"})
    assert [node.name for node in model.graph.node] == ["fc/x", "y", "z"]


# Separate scales of prefix tokens are put in by nodes that are the layer's alone.
@pytest.mark.parametrize(
    "options", [{}, pytest.param({"raw_images": True}, marks=pytest.mark.slow)], ids=str
)
def test_what_a_layer_adds_is_named_after_it(exported, options):
    made = exported("vit", "w4a4", **options)
    layers = {layer.name for layer in made.header.layers}
    written = [node.name for node in made.graph.graph.node if node.op_type == "ScatterND"]
    assert {name.partition("/")[0] for name in written} == layers - {"patch_embed.proj", "head"}
