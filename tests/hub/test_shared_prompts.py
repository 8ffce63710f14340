"""Prompts on a Hub over HTTP: published, and found for the same model and generator."""

from dataclasses import replace

import pytest
import torch
import yaml

from vitquant.core.errors import UserError
from vitquant.hub.shared_prompts import push_prompts, suggest_prompts
from vitquant.models.model import ModelIdentity
from vitquant.synthesis.diffusion.pipeline import GeneratorIdentity
from vitquant.synthesis.diffusion.prompt_file import (
    ClassPrompts,
    PromptMetrics,
    prompt_file,
    read_prompts,
    write_prompts,
)

NAME = "someone/prompts"
MODEL = ModelIdentity("deit_tiny", "deit_tiny_patch16_224", "fb_in1k", weights_sha256="a" * 64)
GENERATOR = GeneratorIdentity("stabilityai/sd-turbo", "b" * 64)
SHEET = b"\x89PNG sheet"


@pytest.fixture
def file(tmp_path):
    """Prompts of three classes, of which the last is the hardest."""

    def learned(index):
        after = PromptMetrics(top1=1 - index / 2, confidence=0.9 - index / 4, similarity=0.5)
        return ClassPrompts(
            index=index,
            name=f"thing {index}",
            texts=["a", "b"],
            ids=torch.zeros(2, 9, dtype=torch.int32),
            positions=torch.zeros(2, 3, dtype=torch.int32),
            learned=torch.zeros(2, 3, 4, dtype=torch.float16),
            before=PromptMetrics(top1=0.25, confidence=0.2, similarity=0.6),
            after=after,
            steps=[0, 12],
            images=8,
        )

    path = tmp_path / "learned.safetensors"
    header = {"generator": GENERATOR.to_json(), "model": MODEL.to_json(), "vitquant": "1"}
    write_prompts(path, header, [learned(i) for i in range(3)])
    return read_prompts(path)


def push(file, **changes):
    return push_prompts(file, NAME, **{"model": MODEL, "sheet": SHEET} | changes)


@pytest.fixture
def suggested(listener):
    """suggested(model, generator, …) → the lines that are said."""

    def ask(model=MODEL, generator=GENERATOR, **options):
        listener.said.clear()
        suggest_prompts(model, generator, listener, **options)
        return list(listener.said)

    return ask


def test_file_card_and_sheet_are_one_commit(hub, file):
    done = push(file, command="vitquant learn-prompts deit_tiny")
    repository = hub.repositories[NAME]
    assert done.url == f"{hub.url}/{NAME}"
    assert len(repository.commits) == 1
    assert set(repository.files) == {"prompts.safetensors", "prompts.png", "README.md"}
    assert repository.files["prompts.safetensors"] == file.path.read_bytes()
    assert repository.files["prompts.png"] == SHEET


def test_what_the_card_says(hub, file):
    push(file, command="vitquant learn-prompts deit_tiny")
    card = hub.repositories[NAME].files["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["base_model"] == "timm/deit_tiny_patch16_224.fb_in1k"
    assert front["license_link"].startswith("https://huggingface.co/stabilityai/sd-turbo/")
    assert {"vitquant", "vitquant-prompts"} < set(front["tags"])
    assert "vitquant quantize deit_tiny --calib synthetic --prompts hf://someone/prompts" in card
    assert "vitquant learn-prompts deit_tiny" in card
    assert "a" * 64 in card
    assert "b" * 64 in card
    assert "| learned | 50.0 | 65.0 | 0.500 |" in card
    assert "1 are recognized in every image and 1 in none" in card
    assert card.index("| thing 2 |") < card.index("| thing 1 |") < card.index("| thing 0 |")


def test_what_was_published_can_be_used(hub, file):
    push(file)
    assert list(prompt_file(f"hf://{NAME}").prompts) == [0, 1, 2]


def test_a_failed_upload_says_where_the_file_is(hub, file, token):
    hub.broken["/commit/"] = 403
    with pytest.raises(UserError) as raised:
        push(file)
    message = str(raised.value)
    assert f"the prompts are in {file.path}" in message
    assert "\n" not in message
    assert token not in message
    assert file.path.exists()


def test_prompts_for_the_same_model_and_generator_are_suggested(hub, file, suggested):
    push(file)
    assert suggested() == [
        "prompts that were learned for this model and generator exist: --prompts "
        "hf://someone/prompts"
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"model": replace(MODEL, weights_sha256="c" * 64)},
        {"generator": replace(GENERATOR, sha256="c" * 64)},
        {"but": NAME},
    ],
)
def test_others_are_not(hub, file, changes, suggested):
    push(file)
    assert suggested(**changes) == []


def test_nobody_is_asked_about_bundled_models(hub, suggested):
    assert suggested(model=replace(MODEL, name="vit_digits")) == []
    assert suggested(generator=replace(GENERATOR, name="sd-digits")) == []
    assert hub.requests == []


@pytest.mark.parametrize("fault", ["hang", 500, 401])
def test_no_answer_is_no_suggestion(hub, file, fault, monkeypatch, capfd, suggested):
    monkeypatch.setattr("vitquant.hub.shared_prompts._PATIENCE", 0.5)
    push(file)
    hub.broken["GET /api/models"] = fault
    assert suggested() == []
    assert capfd.readouterr() == ("", "")


def test_nor_is_anything_asked_offline(hub, monkeypatch, suggested):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert suggested() == []
    assert hub.requests == []
