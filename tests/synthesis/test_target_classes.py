"""Which classes images are made of, and what a class file may say."""

import pytest

from vitquant.core.errors import UserError
from vitquant.data.class_names import ClassNames
from vitquant.synthesis.target_classes import TargetClass, target_classes


@pytest.fixture
def model(make_small):
    made = make_small("vit")
    names = ("tench, Tinca tinca", "goldfish", "crane", "crane", *(f"thing_{i}" for i in range(6)))
    made.classes = ClassNames(tuple(f"n{i:08}" for i in range(10)), names)
    return made


@pytest.fixture
def listed(tmp_path):
    def write(*lines):
        path = tmp_path / "classes.txt"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def test_the_models_own_names_are_taken_by_their_first_synonym(model):
    found = target_classes(model)
    assert found[0] == TargetClass(0, "tench")
    assert found[4] == TargetClass(4, "thing 0")
    assert [s.index for s in found] == list(range(10))


def test_a_file_chooses_among_them_in_the_models_order(model, listed):
    found = target_classes(model, listed("goldfish", "", "Tinca tinca"))
    assert found == [TargetClass(0, "tench"), TargetClass(1, "goldfish")]


def test_a_file_names_the_outputs_of_a_model_that_does_not_say(model, listed):
    model.classes = None
    assert target_classes(model, listed(*"abcdefghij"))[9] == TargetClass(9, "j")
    with pytest.raises(UserError, match=r"--classes: .* has 2 lines, but .* has 10 classes"):
        target_classes(model, listed("a", "b"))
    with pytest.raises(UserError, match=r"--classes: nobody knows"):
        target_classes(model)
    found = target_classes(model, names_needed=False)
    assert [target.name for target in found] == [str(i) for i in range(10)]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["goldfish", "goldfish"], "has 'goldfish' more than once"),
        (["tench", "Tinca tinca"], "'tench' and 'Tinca tinca' are the same class"),
        (["crane"], "'crane' names several classes of the model; accepted: n00000002, n00000003"),
        (["goldfich"], "'goldfich' is not a class of the model; accepted: goldfish"),
        (["", " "], "is empty"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(lines, complaint, model, listed):
    with pytest.raises(UserError, match=complaint):
        target_classes(model, listed(*lines))


def test_a_file_that_cannot_be_read_is_refused(model, tmp_path):
    with pytest.raises(UserError, match="No such file"):
        target_classes(model, tmp_path / "none.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        target_classes(model, tmp_path / "binary")


def test_a_model_without_a_classifier_is_refused(make_small):
    with pytest.raises(UserError, match="MODEL: small has no classifier"):
        target_classes(make_small("siglip"))
