"""``vitquant learn-prompts --push-to-hub``, in this process."""

import json
import os

import pytest

from vitquant.cli.main import main

NAME = "someone/prompts"


@pytest.fixture
def learn(tmp_path, monkeypatch, capfd):
    """learn(*arguments) → exit code, stdout and stderr of a short run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.txt").write_text("one\nseven\n")

    def run(*arguments):
        words = ["learn-prompts", "vit_digits", "--classes", "two.txt", "--prompts-per-class", "2"]
        words += ["--steps", "1", "--out", "p", *arguments]
        monkeypatch.setattr("sys.argv", ["vitquant", *words])
        code = main(words)
        return code, *capfd.readouterr()

    return run


def test_it_learns_and_uploads(hub, learn, token, tmp_path):
    code, out, err = learn("--push-to-hub", NAME, "--private", "--json")
    assert code == 0, err
    assert json.loads(out)["hub"]["url"] == f"{hub.url}/{NAME}"
    repository = hub.repositories[NAME]
    assert repository.private
    assert repository.files["prompts.safetensors"] == (tmp_path / "p").read_bytes()
    assert repository.files["prompts.png"].startswith(b"\x89PNG")
    assert b"--push-to-hub" in repository.files["README.md"]
    assert token not in out + err


def test_after_a_failure_only_the_upload_is_made_again(hub, learn, tmp_path):
    hub.broken["repos/create"] = 403
    code, out, err = learn("--push-to-hub", NAME)
    assert (code, out) == (2, "")
    assert "the prompts are in p" in err.splitlines()[-1]
    before = (tmp_path / "p").stat()
    hub.broken.clear()
    code, out, err = learn("--push-to-hub", NAME)
    assert (code, out) == (0, "p\n"), err
    assert "p is there already, learned with these settings" in err
    assert (tmp_path / "p").stat().st_mtime_ns == before.st_mtime_ns
    code, out, err = learn("--push-to-hub", NAME, "--lr", "0.1")
    assert "is there already" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--push-to-hub", "nobody"), "--push-to-hub: 'nobody' names no repository"),
        (("--private",), "--private: it goes with --push-to-hub"),
    ],
)
def test_bad_input_is_refused_before_any_work(learn, arguments, words, tmp_path):
    code, out, err = learn(*arguments)
    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]
    assert os.listdir(tmp_path) == ["two.txt"]
