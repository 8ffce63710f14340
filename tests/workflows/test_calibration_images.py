import json

import pytest

from vitquant.synthesis.image_folder import RUN
from vitquant.workflows.calibration_images import bears_bias_correction


@pytest.mark.parametrize("calib", ["noise", "inversion"])
def test_no_bias_is_corrected_by_made_images(calib):
    assert not bears_bias_correction(calib)


@pytest.mark.parametrize("calib", ["digits", "nowhere", "template", ["an image"]])
def test_biases_are_corrected_by_others(calib):
    assert bears_bias_correction(calib)


@pytest.mark.parametrize(
    ("written", "bears"),
    [
        ({"run": {"inversion": {"samples": 4}}, "rejected": 0}, False),
        ({"run": {"generator": {"name": "sd-digits"}}, "rejected": 0}, True),
        ({"something": "else"}, True),
        (["a list"], True),
    ],
)
def test_a_folder_tells_how_it_was_made(written, bears, tmp_path):
    (tmp_path / RUN).write_text(json.dumps(written))
    for calib in (tmp_path, str(tmp_path)):
        assert bears_bias_correction(calib) is bears
