"""Pages that follow from the code are up to date."""

import generate


def test_generated_pages_are_what_would_be_generated(capsys):
    assert generate.main(["--check"]) == 0, capsys.readouterr().err
