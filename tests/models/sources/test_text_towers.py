"""Text towers of transformers: their tokens, their embeddings, what is refused."""

import json
import shutil

import pytest
import torch
import transformers
from generators.small_tokenizer import tokenizer, write_tokenizer, write_vocabulary

from vitquant.core.errors import UserError
from vitquant.models.sources import load_float
from vitquant.models.transformers_files import quiet

TEXTS = ["a photo of a tench.", "two dogs", "a very long text " * 9, "Ünïcode 7"]


@pytest.fixture
def clip(folders, tmp_path):
    """A folder with a CLIP and its tokenizer that a test may damage."""
    return write_tokenizer(shutil.copytree(folders("CLIP"), tmp_path / "clip"))


@pytest.fixture
def siglip(folders, tmp_path):
    return write_tokenizer(shutil.copytree(folders("SigLIP and SigLIP 2"), tmp_path / "siglip"))


def tower(folder):
    return load_float(f"{folder}#text")


def refused(folder, match):
    with pytest.raises(UserError, match=match) as error:
        tower(folder)
    assert "\n" not in str(error.value)


def tokens_of(folder):
    read = transformers.AutoTokenizer.from_pretrained(folder)
    return read(TEXTS, padding="max_length", max_length=16, truncation=True, return_tensors="pt")


@pytest.mark.parametrize("write", [write_tokenizer, write_vocabulary])
def test_clip_embeds_texts_as_in_transformers(clip, write):
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (clip / file).unlink()
    write(clip)
    model, theirs = tower(clip), transformers.CLIPModel.from_pretrained(clip).eval()
    given = tokens_of(clip)
    transform = model.transform()
    tokens = torch.stack([transform(text) for text in TEXTS])
    assert tokens.dtype == torch.int64
    assert torch.equal(tokens, given.input_ids)
    with torch.no_grad():
        expected = theirs.get_text_features(**given).pooler_output
    assert torch.allclose(model(tokens), expected, atol=1e-5)
    assert model.input_size == (16,)
    assert model.reads_text


def test_siglip_embeds_texts_as_in_transformers(siglip):
    model, theirs = tower(siglip), transformers.SiglipModel.from_pretrained(siglip).eval()
    given = tokens_of(siglip).input_ids
    with torch.no_grad():
        expected = theirs.get_text_features(given).pooler_output
        assert torch.allclose(model(given), expected, atol=1e-5)


def test_a_folder_of_a_text_tower_alone(clip, tmp_path):
    config = transformers.CLIPTextConfig.from_pretrained(clip, projection_dim=32)
    with quiet():
        network = transformers.CLIPTextModelWithProjection.from_pretrained(clip, config=config)
    network.save_pretrained(tmp_path / "alone")
    write_tokenizer(tmp_path / "alone")
    for name in (str(tmp_path / "alone"), f"{tmp_path / 'alone'}#text"):
        model, same = load_float(name), tower(clip)
        tokens = model.example_inputs()
        assert torch.equal(model(tokens), same(tokens))


def test_a_tokenizer_is_needed(clip):
    (clip / "tokenizer.json").unlink()
    refused(clip, "has no tokenizer; tokenizer.json, or vocab.json and merges.txt, .* accepted")
    (clip / "tokenizer.json").write_text("{}")
    refused(clip, "has no readable tokenizer")


def test_it_has_to_be_that_of_the_network(clip):
    other = tokenizer()
    other.add_special_tokens(["<|more|>"])
    other.save(str(clip / "tokenizer.json"))
    refused(clip, "has a tokenizer of 301 tokens, its network 300")
    config = json.loads((clip / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 5
    (clip / "config.json").write_text(json.dumps(config))
    write_tokenizer(clip)
    refused(clip, "ends no text with the eos_token_id 5")


def test_no_other_tower_and_no_size(clip):
    with pytest.raises(UserError, match="has no tower 'sound'"):
        load_float(f"{clip}#sound")
    with pytest.raises(UserError, match=r"--input-size: .* reads texts"):
        load_float(f"{clip}#text", input_size=(32, 32))
