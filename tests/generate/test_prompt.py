"""Texts as tokens: the class's own are not free."""

import pytest

from vitquant.core.errors import UserError


def test_what_is_around_the_class_is_free(generator):
    prompt = generator.words.prompt("a {} cat", "ox")
    tokens = generator.tokens(prompt)
    assert prompt.text == "a ox cat"
    assert tokens[:8] == [
        "<|startoftext|>",
        "a</w>",
        "o",
        "x</w>",
        "c",
        "a",
        "t</w>",
        "<|endoftext|>",
    ]
    assert [tokens[i] for i in prompt.free] == ["a</w>", "c", "a", "t</w>"]
    assert len(prompt.ids) == 40


def test_it_is_what_the_tokenizer_makes_of_the_text(generator):
    prompt = generator.words.prompt("a photo of a {}", "small dog")
    whole = generator.tokenizer(prompt.text, padding="max_length").input_ids
    assert prompt.ids.tolist() == whole


@pytest.mark.parametrize("template", ["a photo", "{} and {}"])
def test_a_template_needs_one_place_for_the_class(template, generator):
    with pytest.raises(UserError, match=r'--template: .* must have "\{\}" once'):
        generator.words.prompt(template, "cat")


def test_a_name_that_does_not_fit_is_refused(generator):
    with pytest.raises(UserError, match=r"--classes: 'x+' takes \d+ tokens .* reads 40"):
        generator.words.prompt("a photo of a {}", "x" * 60)
