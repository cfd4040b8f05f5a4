"""What else is asked of words, and the marks that it takes: traps of each question."""

from collections import Counter

import numpy as np
import pytest

from minibert.tasks.batches import Stream, collate, held_out
from minibert.tasks.corruption import masking
from minibert.tasks.examples import IGNORE, Example, Marked
from minibert.tasks.marks import Places, marked
from minibert.tasks.words import WORDS, capitalisation, token_document, trigrams
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training import options


def row(tokenizer, ids, **marks):
    vocab = tokenizer.vocab
    ids = np.array([vocab.cls_id, *ids, vocab.sep_id], np.int32)
    return Example(ids, len(ids), IGNORE, marks={name: np.array([-1, *values, -1]) for name, values in marks.items()})


def test_the_options_know_every_question():
    assert options.WORDS == tuple(WORDS)
    assert [module.TERM for module in WORDS.values()] == [name.replace("-", "_") for name in WORDS]


def test_trigrams_move_and_only_what_moved_is_asked(tokenizer):
    hide, rule = masking.rule(tokenizer), trigrams.rule(tokenizer, rate=0.3)
    example, moved = row(tokenizer, range(10, 60)), 0
    for i in range(500):
        key = (0, 0, i)
        masked = masking.mask_example(example, hide, key)
        asked = trigrams.ask(masked, example, rule, key)
        target, place = asked.others["trigrams"], dict(zip(masked.positions.tolist(), range(99)))
        assert (np.diff(asked.positions) > 0).all()
        assert ((asked.labels == IGNORE) != (target == IGNORE)).all()  # each place is asked for by one of the two
        assert asked.positions[asked.labels != IGNORE].tolist() == masked.positions.tolist()
        assert asked.labels[asked.labels != IGNORE].tolist() == masked.labels.tolist()
        assert (asked.ids[masked.positions] == masked.ids[masked.positions]).all()  # what is hidden is not disturbed
        there = asked.positions[target != IGNORE]
        assert not place.keys() & {*there.tolist()}
        assert (target[target != IGNORE] == example.ids[there]).all()
        assert (asked.ids[there] != example.ids[there]).all()
        free = np.setdiff1d(np.arange(len(example.ids)), masked.positions)
        assert sorted(asked.ids[free]) == sorted(example.ids[free])  # they change places and nothing else
        assert asked.ids[0] == example.ids[0]
        assert asked.ids[-1] == example.ids[-1]
        moved += len(there)
    assert moved > 1000


def test_all_six_orders_are_drawn_and_the_identity_is_not_asked(tokenizer):
    rule, example = trigrams.rule(tokenizer, rate=1.0), row(tokenizer, [10, 11, 12])
    empty = masking.masked(example, example.ids.copy(), np.empty(0, np.int64))
    orders = Counter()
    for i in range(3000):
        asked = trigrams.ask(empty, example, rule, (0, 0, i))
        order = tuple(asked.ids[1:4].tolist())
        orders[order] += 1
        assert len(asked.positions) == sum(a != b for a, b in zip(order, (10, 11, 12)))
    assert len(orders) == 6
    assert all(abs(count / 3000 - 1 / 6) < 0.03 for count in orders.values())


def test_repeated_tokens_are_not_asked_for(tokenizer):
    rule, example = trigrams.rule(tokenizer, rate=1.0), row(tokenizer, [10, 10, 10, 10, 10, 10])
    empty = masking.masked(example, example.ids.copy(), np.empty(0, np.int64))
    assert len(trigrams.ask(empty, example, rule, (0, 0, 0)).positions) == 0
    two = row(tokenizer, [10, 10, 11])
    for i in range(50):
        asked = trigrams.ask(masking.masked(two, two.ids.copy(), np.empty(0, np.int64)), two, rule, (0, 0, i))
        assert len(asked.positions) in (0, 2)


def test_shares_of_trigrams(tokenizer):
    """5 % of the tokens begin a window, but where two would overlap; of 18 tokens of six orders 12 stand elsewhere."""
    rule, example = trigrams.rule(tokenizer), row(tokenizer, range(10, 210))
    empty = masking.masked(example, example.ids.copy(), np.empty(0, np.int64))
    moved = [len(trigrams.ask(empty, example, rule, (0, 0, i)).positions) for i in range(300)]
    assert np.mean(moved) / 200 == pytest.approx(0.05 * 3 * 2 / 3, rel=0.2)


def test_capital_letters_of_words_whatever_their_pieces():
    tokenizer = Tokenizer(Vocabulary([*SPECIAL, "new", "york", "##er", "s", "'", "it", "is", "bbc", "café", "cafe"]))
    text = "It's New Yorkers BBC ü Café is"
    [[flags]] = marked([[tokenizer.ids(text)]], [[text]], tokenizer, ["capital", "begins"]).marks["capital"]
    tokens = [tokenizer.vocab.tokens[i] for i in tokenizer.ids(text)]
    assert dict(zip(tokens, flags.tolist()))["bbc"]
    assert len(tokens) == len(flags)
    found = [(token, bool(flag)) for token, flag in zip(tokens, flags)]
    assert found[:4] == [("it", True), ("'", False), ("s", False), ("new", True)]
    assert found[-3:] == [("[UNK]", False), ("cafe", True), ("is", False)]
    with pytest.raises(ValueError, match="keeps capital letters"):
        marked([[[5]]], [["new"]], Tokenizer(tokenizer.vocab, lower_case=False), ["capital"])


def test_gaps_are_between_characters():
    tokenizer = Tokenizer(Vocabulary([*SPECIAL, "don", "'", "t", "go", ".", "##ne"]))
    text = "don't gone. go"
    [[begins]] = marked([[tokenizer.ids(text)]], [[text]], tokenizer, ["begins"]).marks["begins"]
    tokens = [tokenizer.vocab.tokens[i] for i in tokenizer.ids(text)]
    assert [token for token, begin in zip(tokens, begins) if begin] == ["don", "go", "go"]


def test_the_target_is_the_mark_but_for_special_tokens(tokenizer):
    example = row(tokenizer, [10, 11, 12], capital=[1, 0, 1])
    masked = masking.mask_example(example, masking.rule(tokenizer), (0, 0, 0))
    asked = capitalisation.ask(masked, example, capitalisation.rule(tokenizer), (0, 0, 0))
    assert asked.targets["capitalisation"].tolist() == [IGNORE, 1, 0, 1, IGNORE]


def test_elsewhere_is_outside_of_the_example_and_in_its_own_document(tokenizer):
    documents = [[[10, 11], [12, 10], [13]], [[11, 14, 14]]]
    places = Places(documents, ["document", "occurs", "count"], tokenizer.vocab)
    cls, sep = places.tokenizer.vocab.cls_id, places.tokenizer.vocab.sep_id
    sentences = [sentence for document in places.documents for sentence in document]

    def asked(*parts):
        ids = np.concatenate([[cls], *(np.append(sentences[i], sep) for i in parts)]).astype(np.int32)
        example = places.looked_up(Example(ids, len(ids), IGNORE))
        masked = masking.mask_example(example, masking.rule(tokenizer), (0, 0, 0))
        target = token_document.ask(masked, example, token_document.rule(tokenizer), (0, 0, 0)).targets["token_document"]
        return {int(i): int(t) for i, t in zip(example.ids, target) if t != IGNORE}

    assert asked(0) == {10: 1, 11: 0}  # the other 11 is in another document
    assert asked(0, 1) == {10: 0, 11: 0, 12: 0}  # both of its 10
    assert asked(3) == {11: 0, 14: 0}
    assert places.looked_up(Example(np.array([cls, 0, sep]), 3, IGNORE)).ids.tolist() == [2, 10, 3]
    assert places.marks["count"].tolist() == [2, 2, 1, 2, 1, 2, 2, 2, -1, -1]
    assert places.marks["occurs"].tolist() == [2, 1, 1, 2, 1, 1, 2, 2, -1, -1]


def test_examples_of_places_are_those_of_ids(tokenizer, documents):
    """Whatever makes examples: with marks the same ids come out."""
    for pairs in options.PAIRS:
        plain, with_marks = (Stream(documents, tokenizer, max_length=40, batch_size=8, seed=2, pairs=pairs, words=words)
                             for words in ((), ("token-document",)))
        for a, b in zip(plain.examples(0), with_marks.examples(0), strict=True):
            assert np.array_equal(a.ids, b.ids)
            assert (a.split, a.next_label, a.targets) == (b.split, b.next_label, b.targets)


def test_targets_of_tokens_are_padded_with_ignore(tokenizer, documents):
    texts = Marked(documents, {"capital": [[np.ones(len(s), bool) for s in d] for d in documents]})
    stream = Stream(texts, tokenizer, max_length=24, batch_size=6, seed=0, pairs="distance", words=list(WORDS))
    batch = collate(stream.batch()[0])
    for name in ("capitalisation", "token_document"):
        assert batch.targets[name].shape == batch.ids.shape
        assert batch.attention_mask is None or (batch.targets[name][~batch.attention_mask] == IGNORE).all()
    assert batch.targets["distance"].shape == (6,)
    assert batch.targets["trigrams"].shape == batch.targets["mlm"].shape == batch.positions.shape
    assert held_out(texts, tokenizer, max_length=24, words=list(WORDS))


def test_ids_alone_tell_no_capitals(tokenizer, documents):
    with pytest.raises(ValueError, match="ids alone, and capital only their text tells"):
        Stream(documents, tokenizer, max_length=24, batch_size=6, seed=0, words=["capitalisation"])
