"""Small vision transformers of torchvision's classes."""

import pytest
from generators.torchvision_families import small_model


@pytest.fixture
def make_torchvision():
    """make_torchvision(architecture, state, **arguments) → a small float model."""
    return small_model
