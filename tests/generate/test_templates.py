"""The texts that prompts start from."""

from itertools import pairwise

from vitquant.generate.templates import PLAIN, described, plain


def test_described_templates_differ_as_long_as_there_are_words():
    texts = described(64)
    assert len(set(texts)) == 64
    assert all(text.count("{}") == 1 and text.endswith("{}") for text in texts)


def test_neighbours_differ_in_both_adjectives():
    pairs = [(t.split()[1], t.split()[-2]) for t in described(20)]
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in pairwise(pairs))


def test_more_than_there_are_words_for_begin_again():
    assert described(70)[64:] == described(6)


def test_plain_is_one_text():
    assert plain(3) == [PLAIN] * 3
