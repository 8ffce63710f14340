"""What the help says that there is, is what there is."""

from vitquant.config import export
from vitquant.config.evaluate import RUNTIMES
from vitquant.config.export import FORMATS, WEIGHT_TYPES
from vitquant.config.groups.training import JOINT, TRAINED
from vitquant.config.quantize import METHODS
from vitquant.config.synthesize import SYNTHESIZERS
from vitquant.config.values import ALIASES, DEFAULT_GENERATOR, MINIATURES
from vitquant.exporters import formats
from vitquant.exporters.onnx import graph
from vitquant.exporters.runtimes.registry import RUNTIME_NAMES
from vitquant.exporters.verify import MARGIN
from vitquant.models.sources import from_miniature, from_timm
from vitquant.quantization.methods.base import METHODS as REGISTERED
from vitquant.synthesis import registry
from vitquant.synthesis.diffusion import generator


def test_methods():
    assert set(REGISTERED) == set(METHODS)
    assert {m.name for m in REGISTERED.values() if m.is_trained} == set(TRAINED["method"])
    assert {m.name for m in REGISTERED.values() if m.supports_resume} == set(JOINT["method"])


def test_names_of_models():
    assert tuple(from_timm.ALIASES) == ALIASES
    assert tuple(from_miniature.NAMES) == MINIATURES


def test_types_and_runtimes():
    assert tuple(graph.WEIGHT_TYPES) == WEIGHT_TYPES
    assert RUNTIME_NAMES == RUNTIMES


def test_formats():
    assert tuple(formats.FORMATS) == FORMATS
    assert export.MARGIN == MARGIN


def test_synthesizers():
    assert tuple(SYNTHESIZERS) == tuple(registry.SYNTHESIZERS)
    assert generator.DEFAULT == DEFAULT_GENERATOR
