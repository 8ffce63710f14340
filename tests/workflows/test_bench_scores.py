"""What the predictions of timed files are compared with."""

from types import SimpleNamespace

from vitquant.config.bench import BenchSettings
from vitquant.data.class_names import LabelSpace
from vitquant.workflows.scoring.bench_scores import Compared


def candidate(**settings):
    return SimpleNamespace(metadata=SimpleNamespace(settings=settings))


def compared(references):
    return Compared(BenchSettings.build(), LabelSpace(10, None), references=references)


def test_of_several_references_each_file_has_its_own_checkpoint():
    found = compared({"a": "first", "b": "second"})
    assert found._reference(candidate(checkpoint_sha256="b")) == "second"
    assert found._reference(candidate(checkpoint_sha256="c")) is None
    assert found._reference(candidate()) is None


def test_a_single_reference_is_that_of_all():
    assert compared({"a": "first"})._reference(candidate()) == "first"
    assert compared({})._reference(candidate()) is None
