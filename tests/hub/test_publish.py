"""Publishing to a Hub over HTTP: all files in one commit, or none and one line that says why."""

import json
import time

import pytest
import timm

from vitquant.core.errors import UserError
from vitquant.hub.publish import push

NAME = "someone/vit-digits-w4a4"
FILES = {"model.safetensors", "config.json", "README.md"}


def refused(*words, **options):
    """Pushing raises one line with all ``words``."""
    with pytest.raises(UserError) as raised:
        push(*options.pop("arguments"), **options)
    message = str(raised.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
    return message


def test_everything_is_one_commit(hub, checkpoint):
    done = push(checkpoint, NAME)
    repository = hub.repositories[NAME]
    assert set(repository.files) == FILES == set(done.files)
    assert len(repository.commits) == 1
    assert done.commit == repository.commits[0][0]
    assert done.url == f"{hub.url}/{NAME}"
    assert repository.files["model.safetensors"] == checkpoint.read_bytes()
    assert not repository.private


def test_large_files_go_by_lfs_and_small_ones_with_the_commit(hub, checkpoint):
    push(checkpoint, NAME)
    assert list(hub.blobs.values()) == [checkpoint.read_bytes()]
    hub.lfs = ()
    push(checkpoint, "someone/else")
    assert hub.repositories["someone/else"].files == hub.repositories[NAME].files | {
        "README.md": hub.repositories["someone/else"].files["README.md"]
    }


def test_a_private_repository(hub, checkpoint):
    push(checkpoint, NAME, private=True)
    assert hub.repositories[NAME].private


def test_private_is_not_ignored_where_the_repository_is_public(hub, checkpoint):
    push(checkpoint, NAME)
    refused("--private", "is public", arguments=(checkpoint, NAME), private=True)
    assert len(hub.repositories[NAME].commits) == 1


def test_an_onnx_file_comes_and_goes_with_its_checkpoint(hub, checkpoint, tmp_path):
    onnx = tmp_path / "exported.onnx"
    onnx.write_bytes(b"not looked at" * 100)
    done = push(checkpoint, NAME, onnx=onnx)
    files = hub.repositories[NAME].files
    assert files["model.onnx"] == onnx.read_bytes()
    assert done.files["model.onnx"] == 1300
    assert json.loads(files["config.json"])["vitquant"]["onnx"] == "model.onnx"
    assert b"`model.onnx`" in files["README.md"]
    push(checkpoint, NAME)
    assert set(hub.repositories[NAME].files) == FILES


def test_the_config_is_what_timm_expects(hub, checkpoint, tmp_path):
    push(checkpoint, NAME)
    config = json.loads(hub.repositories[NAME].files["config.json"])
    assert config["vitquant"]["bits"] == "w4a4"
    assert config["pretrained_cfg"]["mean"] == [0.5, 0.5, 0.5]
    module = timm.create_model(f"hf-hub:{NAME}", pretrained=False)
    assert type(module).__name__ == "VisionTransformer"
    assert module.num_classes == 10
    assert module.pretrained_cfg["label_names"][3] == "three"
    assert list(timm.data.resolve_model_data_config(module)["input_size"]) == [3, 32, 32]


def test_the_token_stays_where_it_is(hub, checkpoint, token, capfd):
    push(checkpoint, NAME, command=f"HF_TOKEN={token} vitquant export x")
    assert hub.tokens == {token}
    assert not any(token.encode() in data for data in hub.repositories[NAME].files.values())
    assert b"HF_TOKEN=*** vitquant export x" in hub.repositories[NAME].files["README.md"]
    assert token not in "".join(capfd.readouterr())


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
def test_a_refusal_leaves_nothing_and_says_how_to_go_on(
    hub, checkpoint, token, capfd, stage, status
):
    hub.broken[stage] = status
    words = (*REFUSALS[status], "nothing was published", "same command")
    message = refused(*words, arguments=(checkpoint, NAME))
    assert token not in message + "".join(capfd.readouterr())
    made = hub.repositories.get(NAME)
    assert made is None or made.files == {}
    assert ("is there, empty" in message) == (made is not None)


def test_the_same_command_publishes_once_the_hub_is_well(hub, checkpoint):
    hub.broken["/commit/"] = 500
    refused("the Hub has failed (500)", "is there, empty", arguments=(checkpoint, NAME))
    assert hub.repositories[NAME].files == {}
    hub.broken.clear()
    push(checkpoint, NAME)
    assert set(hub.repositories[NAME].files) == FILES


def test_a_failing_hub_is_tried_again_for_a_bounded_time(hub, checkpoint):
    hub.broken["preupload"] = 500
    start = time.monotonic()
    words = ("has failed (500) again and again", "nothing was published")
    refused(*words, arguments=(checkpoint, NAME))
    assert time.monotonic() - start < 60


def test_a_hub_that_fails_at_once(hub, checkpoint):
    hub.broken["repos/create"] = 500
    refused("the Hub has failed (500)", "later", arguments=(checkpoint, NAME))
    assert hub.repositories == {}


@pytest.mark.parametrize("stage", ["GET /api/models", "repos/create", "PUT"])
def test_a_hub_that_hangs(hub, checkpoint, stage):
    hub.broken[stage] = "hang"
    start = time.monotonic()
    refused("did not answer within", "nothing was published", arguments=(checkpoint, NAME))
    assert time.monotonic() - start < 60


def test_a_hub_that_hangs_over_the_commit(hub, checkpoint):
    hub.broken["/commit/"] = "hang"
    refused("is not known", "same command", arguments=(checkpoint, NAME))
    hub.broken.clear()
    push(checkpoint, NAME)
    assert len(hub.repositories[NAME].commits) == 1


def test_a_hub_that_wants_one_to_wait_for_a_day(hub, checkpoint):
    hub.broken["preupload"], hub.headers = 503, {"Retry-After": "86400"}
    refused("has failed (503) again and again", arguments=(checkpoint, NAME))


def test_no_hub_at_all(hub, checkpoint, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused("could not be reached", arguments=(checkpoint, NAME))


def test_no_token(hub, checkpoint, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    refused("wants a token (401), and there is none", arguments=(checkpoint, NAME))
    assert push(checkpoint, NAME, token="hf_" + "SecretOfTheTests" * 2)


def test_somebody_elses_commit_in_between_is_a_conflict(hub, checkpoint):
    push(checkpoint, NAME)
    hub.meanwhile = lambda: hub.repositories[NAME].commit({"x": b""}, "theirs")
    refused("conflict", "(412)", "nothing was published", arguments=(checkpoint, NAME))
    assert hub.repositories[NAME].files == {"x": b""}


@pytest.mark.parametrize("name", ["name", "a/b/c", "someone/", "some one/x", "-/x", ""])
def test_names_of_repositories(hub, checkpoint, name):
    refused("--push-to-hub", "OWNER/NAME", arguments=(checkpoint, name))
    assert hub.requests == []


def test_a_damaged_checkpoint_is_not_published(hub, checkpoint, tmp_path):
    data = bytearray(checkpoint.read_bytes())
    data[-1] ^= 1
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(data)
    refused("damaged", arguments=(damaged, NAME))
    assert hub.requests == []
