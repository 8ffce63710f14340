"""A text tower on the Hub, and back."""

import shutil

import pytest
import tokenizers
import torch
import yaml
from generators.small_tokenizer import write_tokenizer

import vitquant
from vitquant.hub.publish import push
from vitquant.workflows.open import open_model

NAME = "me/clip-text"


@pytest.fixture
def tower(folders, tmp_path):
    clip = write_tokenizer(shutil.copytree(folders("CLIP"), tmp_path / "clip"))
    path = tmp_path / "text.safetensors"
    vitquant.quantize(f"{clip}#text", "w8a8", method="rtn", samples=8).save(path)
    return path


def test_the_card_says_that_it_reads_texts(hub, tower):
    push(tower, NAME)
    text = hub.repositories[NAME].files["README.md"].decode()
    assert yaml.safe_load(text.split("---\n")[1])["pipeline_tag"] == "feature-extraction"
    assert "The text tower of " in text
    assert "8 texts of `synthetic`" in text
    assert f"vitquant eval IMAGE_MODEL --text-model hf-hub:{NAME} --data FOLDER" in text
    assert "--weights" not in text


def test_it_is_read_back(hub, tower):
    push(tower, NAME)
    here, there = open_model(str(tower)), open_model(f"hf-hub:{NAME}")
    tokens = here.transform()("a photo of a cat")
    assert torch.equal(there.transform()("a photo of a cat"), tokens)
    module = vitquant.load(f"hf-hub:{NAME}")
    read = tokenizers.Tokenizer.from_str(module.pretrained_cfg["tokenizer"])
    assert read.encode("a photo of a cat").ids == tokens.tolist()
    with torch.no_grad():
        assert torch.equal(module(tokens[None]).text_embeds, here(tokens[None]))
