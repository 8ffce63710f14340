"""A file of prompts comes back as it was, or says what is wrong with it."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from vitquant.core.errors import UserError
from vitquant.synthesis.diffusion import prompt_file as module
from vitquant.synthesis.diffusion.prompt_file import (
    ClassPrompts,
    PromptMetrics,
    read_prompts,
    write_prompts,
)

METRICS = PromptMetrics(top1=0.5, confidence=0.4, similarity=0.3)


def made(index, modes=2):
    generator = torch.Generator().manual_seed(index)
    return ClassPrompts(
        index=index,
        name=f"thing {index}",
        texts=[f"text {mode}" for mode in range(modes)],
        ids=torch.randint(0, 50, (modes, 9), dtype=torch.int32, generator=generator),
        positions=torch.tensor([[1, 2, -1]] * modes, dtype=torch.int32),
        learned=torch.randn(modes, 3, 4, generator=generator).half(),
        before=METRICS,
        after=METRICS,
        steps=list(range(modes)),
        images=4 * modes,
    )


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "p.safetensors"
    size = write_prompts(path, {"generator": {"name": "g"}}, [made(7), made(2)])
    file = read_prompts(path)
    assert size == path.stat().st_size
    assert file.header["generator"] == {"name": "g"}
    assert list(file.prompts) == [2, 7]
    for field in dataclasses.fields(ClassPrompts):
        ours, theirs = (getattr(p, field.name) for p in (file.prompts[7], made(7)))
        assert torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs


def test_the_order_of_classes_does_not_change_the_file(tmp_path):
    write_prompts(tmp_path / "a", {}, [made(7), made(2)])
    write_prompts(tmp_path / "b", {}, [made(2), made(7)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_metrics_of_classes_are_averaged():
    mean = PromptMetrics.mean([METRICS, PromptMetrics(top1=1.0, confidence=0.6, similarity=0.5)])
    assert (mean.top1, mean.confidence, mean.similarity) == pytest.approx((0.75, 0.5, 0.4))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "p.safetensors"
    with pytest.raises(UserError, match=r"--prompts: .* is not a file"):
        read_prompts(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="but not of prompts"):
        read_prompts(path)
    write_prompts(path, {}, [made(1)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut short or damaged"):
        read_prompts(path)


def test_prompts_that_do_not_fit_their_text_are_refused(tmp_path):
    path = tmp_path / "p.safetensors"
    outside = torch.tensor([[1, 2, 9]] * 2, dtype=torch.int32)
    write_prompts(path, {}, [dataclasses.replace(made(1), positions=outside)])
    with pytest.raises(UserError, match="do not fit"):
        read_prompts(path)
    write_prompts(path, {}, [dataclasses.replace(made(1), texts=["one"])])
    with pytest.raises(UserError, match="another number of prompts"):
        read_prompts(path)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """hub(files) makes the Hub one repository, owner/name, with a file of prompts in each."""

    def make(*files):
        def listed(repository):
            if repository != "owner/name":
                raise ConnectionError("404 Not Found\nfor some reason")
            return ["README.md", *files]

        def downloaded(repository, file):
            assert file in listed(repository)
            write_prompts(tmp_path / file, {"from": file}, [made(1)])
            return str(tmp_path / file)

        monkeypatch.setattr(module, "list_repo_files", listed)
        monkeypatch.setattr(module, "hf_hub_download", downloaded)

    return make


def test_a_repository_with_one_file_is_read(hub):
    hub("a.safetensors")
    assert module.prompt_file("hf://owner/name").header["from"] == "a.safetensors"


def test_of_several_files_one_must_be_named(hub):
    hub("a.safetensors", "b.safetensors")
    assert module.prompt_file("hf://owner/name/b.safetensors").header["from"] == "b.safetensors"
    with pytest.raises(UserError, match="holds 2 safetensors files; hf://owner/name/FILE"):
        module.prompt_file("hf://owner/name")


def test_what_the_hub_says_is_one_line(hub):
    hub()
    with pytest.raises(
        UserError, match=r"--prompts: .* could not be read from the Hub \(404 Not F"
    ):
        module.prompt_file("hf://nobody/nothing")
