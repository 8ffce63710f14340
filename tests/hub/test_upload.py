"""Uploading to a Hub over HTTP: one commit, or none and one line that says why."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from vitquant.core.errors import UserError
from vitquant.hub.errors import upload_error
from vitquant.hub.upload import upload

NAME = "someone/vit-digits-w4a4"
FILES = {"model.safetensors": b"weights", "config.json": b"{}", "README.md": b"# name"}


@pytest.fixture
def impatient(hub, monkeypatch):
    """Four seconds for everything before the commit, which takes two at most."""
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    monkeypatch.setattr("vitquant.hub.upload._BYTES_A_SECOND", 1e9)


def refused(*words):
    """Uploading raises one line with all ``words``."""
    with pytest.raises(UserError) as raised:
        upload(NAME, FILES, "message")
    message = str(raised.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
    return message


REFUSALS = {
    401: ("does not accept the token (401)", "hf auth login", "HF_TOKEN"),
    403: ("may not write to someone/vit-digits-w4a4 (403)", "for someone"),
    409: ("conflict", "(409)"),
}


@pytest.mark.parametrize(
    ("stage", "status"),
    [
        ("GET /api/models", 401), ("repos/create", 401), ("repos/create", 409), ("preupload", 403),
        ("batch", 401), ("PUT", 403), ("/commit/", 401), ("/commit/", 403), ("/commit/", 409),
    ],
)  # fmt: skip
def test_a_refusal_leaves_nothing_and_says_how_to_go_on(hub, token, capfd, stage, status):
    hub.broken[stage] = status
    words = (*REFUSALS[status], "nothing was published", "same command")
    message = refused(*words)
    assert token not in message + "".join(capfd.readouterr())
    made = hub.repositories.get(NAME)
    assert made is None or made.files == {}
    assert ("is there, empty" in message) == (made is not None)


def test_the_same_command_publishes_once_the_hub_is_well(hub):
    hub.broken["/commit/"] = 500
    refused("the Hub has failed (500)", "is there, empty")
    assert hub.repositories[NAME].files == {}
    hub.broken.clear()
    upload(NAME, FILES, "message")
    assert set(hub.repositories[NAME].files) == set(FILES)


@pytest.mark.slow
def test_a_failing_hub_is_tried_again_for_a_bounded_time(hub, impatient, caplog):
    hub.broken["preupload"] = 500
    start = time.monotonic()
    words = ("has failed (500) again and again", "nothing was published")
    with caplog.at_level("WARNING", "huggingface_hub"):
        refused(*words)
    assert time.monotonic() - start < 15
    assert caplog.records == []


def test_signed_addresses_are_not_repeated():
    error = RuntimeError("refused for url 'https://s3.example/x?X-Amz-Signature=abc' twice")
    message = str(upload_error(error, NAME, "nothing was published", 1.0, None))
    assert "'https://s3.example/x?***' twice" in message


def test_a_hub_that_fails_at_once(hub):
    hub.broken["repos/create"] = 500
    refused("the Hub has failed (500)", "later")
    assert hub.repositories == {}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["GET /api/models", "repos/create", "PUT"])
def test_a_hub_that_hangs(hub, impatient, stage):
    hub.broken[stage] = "hang"
    start = time.monotonic()
    refused("did not answer within", "nothing was published")
    assert time.monotonic() - start < 15


def test_a_hub_that_hangs_over_the_commit(hub, impatient):
    hub.broken["/commit/"] = "hang"
    refused("was not there when the Hub was asked", "same command")
    hub.broken.clear()
    upload(NAME, FILES, "message")
    assert len(hub.repositories[NAME].commits) == 1


def test_a_hub_that_hangs_from_the_commit_on(hub, impatient):
    hub.broken["/commit"] = "hang"
    words = ("did not answer within", "whether the commit was made is not known", "same command")
    refused(*words)


@pytest.mark.slow
@pytest.mark.parametrize("there", [False, True])
def test_a_commit_whose_answer_is_lost(hub, there):
    if there:
        upload(NAME, {"model.safetensors": b"others"}, "message")
    hub.broken["/commit/"] = "lose"
    done = upload(NAME, FILES, "message")
    repository = hub.repositories[NAME]
    assert (len(repository.commits), repository.commits[-1][0]) == (1 + there, done.commit)
    assert repository.files == FILES


def test_a_gateway_that_does_not_know(hub):
    hub.broken["/commit/"] = 504
    refused("failed (504)", "was not there when the Hub was asked")


def test_what_was_given_up_does_not_commit_later(hub, impatient):
    hub.broken["validate-yaml"] = "trickle"
    refused("did not answer within", "was not there")
    hub.broken.clear()
    hub.released.set()
    time.sleep(1)
    assert not any("/commit/" in request for request in hub.requests)
    assert hub.repositories[NAME].commits == []


@pytest.mark.slow
def test_a_hub_that_wants_one_to_wait_for_a_day(hub, impatient):
    hub.broken["preupload"], hub.headers = 503, {"Retry-After": "86400"}
    refused("has failed (503) again and again")


def test_no_hub_at_all(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    refused("could not be reached")


def test_no_token(hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    refused("wants a token (401), and there is none")
    assert upload(NAME, FILES, "message", token="hf_" + "SecretOfTheTests" * 2)


def test_somebody_elses_commit_in_between_is_a_conflict(hub):
    upload(NAME, FILES, "message")
    hub.meanwhile = lambda: hub.repositories[NAME].commit({"x": b""}, "theirs")
    refused("conflict", "(412)", "nothing was published")
    assert hub.repositories[NAME].files == {"x": b""}


@pytest.mark.slow
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_program_does_not_wait_for_what_it_has_given_up(hub, token, interrupted):
    hub.broken["PUT"], hub.headers = 503, {"Retry-After": "86400"}
    files = {"a.onnx": b"a", "b.onnx": b"b"}
    code = f"from vitquant.hub.upload import upload; upload({NAME!r}, {files}, 'message')"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"HF_HUB_DOWNLOAD_TIMEOUT": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore SIGINT, and what they start inherits that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    if interrupted:
        while not any(request.startswith("PUT") for request in hub.requests):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode != 0, out) == (True, "")
    last = err.splitlines()[-1]
    expected = "\nKeyboardInterrupt" in err if interrupted else "nothing was published" in last
    assert expected, err
    assert token not in err
    assert hub.repositories[NAME].commits == []
