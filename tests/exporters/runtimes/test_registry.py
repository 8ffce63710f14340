"""What an exported file says of itself, and files that say nothing."""

import onnx
import pytest

from vitquant.core.errors import UserError
from vitquant.data.class_names import ClassNames
from vitquant.exporters.runtimes.metadata import Metadata
from vitquant.exporters.runtimes.registry import open_exported
from vitquant.models.model import ModelIdentity
from vitquant.workflows.open import open_model


def test_identity_preprocessing_and_classes_travel_along():
    identity = ModelIdentity("deit", "deit_tiny_patch16_224", tag="fb_in1k", float_bytes=7)
    classes = ClassNames(("n1", "n2"), ("tench, Tinca", "Köder"))
    written = Metadata(identity, {"crop_pct": 0.9}, classes, "w4a4", 2, False, ["a"], {"seed": 0})
    model = onnx.ModelProto()
    written.write(model)
    found = {prop.key: prop.value for prop in model.metadata_props}
    assert Metadata.read(found) == written
    assert found["preprocessing"] == '{"crop_pct":0.9}'


@pytest.mark.slow
def test_a_file_opens_like_any_model(exported):
    made = exported("vit", "w4a4")
    opened = open_model(str(made.path))
    assert opened.identity == made.model.identity
    assert opened.preprocessing["mean"] == list(made.model.preprocessing["mean"])
    assert opened.num_classes == 10
    assert opened.max_batch is None


@pytest.mark.slow
def test_raw_images_come_one_by_one(exported):
    opened = open_exported(exported("vit", "w8a8", raw_images=True).path)
    assert opened.max_batch == 1


def test_files_that_cannot_be_opened(exported, tmp_path):
    data = exported("vit", "w4a4").path.read_bytes()
    path = tmp_path / "x.onnx"
    with pytest.raises(UserError, match="is not a file"):
        open_exported(path)
    for broken in (b"", b"not onnx", data[: len(data) // 2]):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"x\.onnx .*ONNX") as raised:
            open_exported(path)
        assert "\n" not in str(raised.value)


def test_a_file_of_other_origin(exported, tmp_path):
    graph = onnx.load(exported("vit", "w4a4").path)
    path = tmp_path / "x.onnx"
    del graph.metadata_props[:]
    onnx.save(graph, path)
    with pytest.raises(UserError, match="not an ONNX file that this vitquant wrote"):
        open_exported(path)
    onnx.helper.set_model_props(graph, {"vitquant": "2"})
    onnx.save(graph, path)
    with pytest.raises(UserError, match="a newer vitquant wrote it"):
        open_exported(path)
