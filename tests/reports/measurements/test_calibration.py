"""The images that quantize chose are described."""

from collections import Counter

from vitquant.data.image_source import ListSource
from vitquant.data.loader import stratified_sample
from vitquant.reports.measurements.calibration import calibration


def test_counts_are_those_of_the_chosen_images(digits_subject, some_digits):
    subject = digits_subject()
    found = calibration(subject, some_digits, lambda label: f"class {label}")
    chosen = stratified_sample(some_digits, 16, 0)
    counted = Counter(f"class {some_digits.labels[i]}" for i in chosen)
    assert {row.name: row.images for row in found.counts} == counted
    assert (found.source, found.samples, found.found) == ("digits", 16, 16)
    assert found.of_classes == 10
    assert found.sheet.data.startswith(b"\xff\xd8")


def test_a_sheet_has_a_line_for_each_class_where_there_are_many_images(digits_subject, some_digits):
    few = calibration(digits_subject(samples=16), some_digits, str).sheet
    many = calibration(digits_subject(samples=40, init_images=40), some_digits, str).sheet
    assert few.height == 2 * 64
    assert many.height == 8 * 64  # the first eight of ten classes


def test_without_images_or_labels(digits_subject, some_digits):
    subject = digits_subject()
    found = calibration(subject, None, str)
    assert found.looked_at is found.sheet is None
    assert found.counts == ()
    unlabeled = ListSource("some", [some_digits.image(i) for i in range(4)])
    found = calibration(subject, unlabeled, str)
    assert (found.looked_at, found.found, found.counts) == ("some", 4, ())
