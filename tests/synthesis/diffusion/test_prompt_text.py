"""Texts as tokens: the class's own are not free."""

from itertools import pairwise

import pytest

from vitquant.core.errors import UserError
from vitquant.synthesis.diffusion.prompt_text import PLAIN, adjective_templates, plain_templates


def test_what_is_around_the_class_is_free(generator):
    prompt = generator.prompt_tokenizer.prompt("a {} cat", "ox")
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
    prompt = generator.prompt_tokenizer.prompt("a photo of a {}", "small dog")
    whole = generator.tokenizer(prompt.text, padding="max_length").input_ids
    assert prompt.ids.tolist() == whole


@pytest.mark.parametrize("template", ["a photo", "{} and {}"])
def test_a_template_needs_one_place_for_the_class(template, generator):
    with pytest.raises(UserError, match=r'--text: .* must have "\{\}" once'):
        generator.prompt_tokenizer.prompt(template, "cat")


def test_a_name_that_does_not_fit_is_refused(generator):
    with pytest.raises(UserError, match=r"MODEL: its class 'x+' takes \d+ tokens .* reads 40"):
        generator.prompt_tokenizer.prompt("a photo of a {}", "x" * 60)


def test_described_templates_differ_as_long_as_there_are_words():
    texts = adjective_templates(64)
    assert len(set(texts)) == 64
    assert all(text.count("{}") == 1 and text.endswith("{}") for text in texts)


def test_neighbors_differ_in_both_adjectives():
    pairs = [(t.split()[1], t.split()[-2]) for t in adjective_templates(20)]
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in pairwise(pairs))


def test_more_than_there_are_words_for_begin_again():
    assert adjective_templates(70)[64:] == adjective_templates(6)


def test_plain_is_one_text():
    assert plain_templates(3) == [PLAIN] * 3
