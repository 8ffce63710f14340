"""A folder of images is read back, or says what is wrong with it."""

import json
import shutil

import pytest

from vitquant.core.errors import UserError
from vitquant.synthesis.generated_source import GeneratedSource
from vitquant.synthesis.image_folder import read_index


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished.path, tmp_path / "copy")


def test_a_damaged_folder_is_reported(copy, finished):
    file = copy / finished.rows[3]["file_name"]
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"damaged \(zero/00003.png is not the image"):
        read_index(copy)
    file.unlink()
    with pytest.raises(UserError, match="damaged"):
        GeneratedSource(copy, "synthetic")


def test_an_index_with_the_older_key_is_read(copy, finished):
    index = copy / "metadata.jsonl"
    index.write_text(index.read_text().replace('"correct"', '"recognised"'))
    assert "correct" not in json.loads(index.read_text().splitlines()[0])
    assert read_index(copy) == finished.rows
