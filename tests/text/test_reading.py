"""How much of a text is unknown, and the special tokens that are written in it."""

import warnings

import pytest

from minibert.text import Reading, Tokenizer, UnknownText, Vocabulary
from minibert.text.reading import as_words, count_special

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENIZER = Tokenizer(Vocabulary([*SPECIAL, "the", "cat", "##s", "[", "]", "sep", "mask"]))


def reading(text, literal=False):
    return Reading.of(TOKENIZER.vocab, [text], [TOKENIZER.encode(text, special_tokens=not literal).ids], literal)


@pytest.mark.parametrize(("text", "literal", "counts", "share"), [
    ("the cats", False, (3, 0, 0, False), 0),
    ("the बिल्ली кошка", False, (3, 2, 0, False), 2 / 3),
    ("[MASK] кошка [SEP]", False, (1, 1, 2, False), 1),  # neither is part of what could be known
    ("the [MASK]", True, (4, 0, 1, True), 0),
    ("the [UNK]", False, (2, 1, 1, False), 0.5),
    ("", False, (0, 0, 0, False), 0),
])
def test_the_counts(text, literal, counts, share):
    found = reading(text, literal)
    assert found == counts
    assert found.share == pytest.approx(share)


def test_many_texts_count_together():
    texts = ["the cat", "кошка", "[SEP]"]
    found = Reading.of(TOKENIZER.vocab, texts, [TOKENIZER.ids(text, special_tokens=True) for text in texts])
    assert found == (3, 1, 1, False)
    assert Reading.of(TOKENIZER.vocab, [], []) == (0, 0, 0, False)


def test_what_is_said():
    assert reading("the cats").notes() == []
    unknown, special = reading("the кошка [SEP] [MASK]").notes()
    assert unknown.startswith("unknown to the model's vocabulary: 1 of 2 tokens (50.0%)")
    assert special == "special tokens written in the text: 2, read as the tokens that they name; --literal reads them as words"
    assert reading("[SEP]", literal=True).notes() == ["special tokens written in the text: 1, read as words, as --literal says"]


def test_a_warning_where_most_is_unknown():
    def ask(text):  # warnings are for whoever asks
        reading(text).warn()

    with pytest.warns(UnknownText, match=r"2 of 3 tokens \(66\.7%\)") as caught:
        ask("the кошка мышь")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask("the кошка")


def test_special_tokens_pulled_apart_are_words():
    vocab, text = TOKENIZER.vocab, "the [SEP][MASK] cat [mask]"
    assert count_special(vocab, text) == 2
    assert count_special(vocab, text, but=vocab.mask_id) == 1
    assert TOKENIZER.ids(as_words(vocab, text), special_tokens=True) == TOKENIZER.ids(text, special_tokens=False)
    apart = TOKENIZER.tokenize(as_words(vocab, text, but=vocab.mask_id))
    assert apart == ["the", "[", "sep", "]", "[MASK]", "cat", "[", "mask", "]"]
