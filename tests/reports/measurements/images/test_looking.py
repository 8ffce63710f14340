"""One pass serves all that looks at answers."""

import pytest
import torch

from vitquant.core.progress import Silent
from vitquant.data.loader import load_batches
from vitquant.evaluation import accuracy as evaluation
from vitquant.reports.measurements.images.accuracy import accuracy
from vitquant.reports.measurements.images.changed import changed_images
from vitquant.reports.measurements.images.looking import FeatureListener, look

NOBODY = FeatureListener(0, lambda *outputs: None, lambda entered: None)


@pytest.fixture
def looked(digits_subject, some_digits):
    subject = digits_subject("w2a4")
    return subject, look(subject, some_digits, 16, NOBODY, Silent(), "cpu")


def test_figures_are_those_of_eval(looked, some_digits):
    subject, found = looked
    expected = evaluation.evaluate(subject.model, some_digits, 16, subject.reference)
    figures = accuracy("digits", found)
    assert figures.quantized.top1.estimate == pytest.approx(expected.accuracy.top1)
    assert figures.quantized.top5 == pytest.approx(expected.accuracy.top5)
    assert figures.reference.top1.estimate == pytest.approx(expected.reference.top1)
    assert figures.agreement.estimate == pytest.approx(expected.agreement)
    assert expected.agreement < 1  # there is something to see


def test_changed_images_have_both_answers(looked, some_digits):
    subject, found = looked
    changed = changed_images(subject.model, some_digits, list(range(100, 140)), found)
    agreement = accuracy("digits", found).agreement.estimate
    assert changed.count == round(40 * (1 - agreement))
    assert changed.images == 40
    confidence = [image.reference.probability for image in changed.shown]
    assert confidence == sorted(confidence, reverse=True)
    first = changed.shown[0]
    assert first.reference.name != first.quantized.name
    batch, labels = next(
        load_batches(some_digits, [first.index - 100], subject.model.transform(), 1)
    )
    with torch.no_grad():
        logits = subject.reference(batch)[0]
    names = subject.model.classes.names
    assert first.reference.name == names[int(logits.argmax())]
    assert first.reference.probability == pytest.approx(float(logits.softmax(-1).max()), abs=1e-5)
    assert first.label == names[int(labels)]
    assert first.picture.data.startswith(b"\xff\xd8")
    assert max(first.picture.width, first.picture.height) == 112


def test_towers_have_no_answers(make_small, subject_of, images):
    subject = subject_of(make_small("siglip"))
    found = look(subject, images, 2, NOBODY, Silent(), "cpu")
    assert found.quantized is found.reference is None
    assert 0.9 < found.errors.result().cosine <= 1
    assert changed_images(subject.model, images, [0, 1, 2, 3], found) is None
    alone = subject_of(make_small("siglip"), with_reference=False)
    assert look(alone, images, 2, NOBODY, Silent(), "cpu").errors is None
