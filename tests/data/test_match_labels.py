"""Published data sets; tests of the folders' names are in test_folder.py."""

import pytest

from vitquant.core.errors import UserError
from vitquant.data.class_names import ClassNames, LabelSpace
from vitquant.data.image_source import Role, SourceRequest
from vitquant.data.match_labels import match_declared


def request_for(classes: ClassNames | None, num_classes: int) -> SourceRequest:
    return SourceRequest(
        "hfds/x", "--data", Role.EVALUATION, LabelSpace(num_classes, classes), False, 1
    )


def test_declared_order_is_trusted_where_spelling_differs(fruit):
    assert match_declared(["apple", "pear tree", "plum"], request_for(fruit, 3)) == [0, 1, 2]
    assert match_declared(["0 - zero", "1 - one", "2 - two"], request_for(fruit, 3)) == [0, 1, 2]


def test_declared_names_go_before_their_order(fruit):
    assert match_declared(["plum", "pear", "apple"], request_for(fruit, 3)) == [2, 1, 0]
    with pytest.raises(UserError, match=r"'fig' is no class"):
        match_declared(["plum", "fig", "apple"], request_for(fruit, 3))


def test_declared_classes_of_a_nameless_model():
    assert match_declared(["x", "y"], request_for(None, 2)) == [0, 1]
    with pytest.raises(UserError, match=r"has 2 classes, but the model has 3"):
        match_declared(["x", "y"], request_for(None, 3))
