"""Publishing to a Hub over HTTP: all files in one commit, or none and one line that says why."""

import json

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


def test_nothing_is_printed(hub, checkpoint, capfd):
    for name in (NAME, NAME, "someone/else"):
        push(checkpoint, name)
    assert capfd.readouterr() == ("", "")


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
