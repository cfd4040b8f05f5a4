"""Sentence pairs and packed sentences: what goes in comes out, at the right length, with true labels."""

import itertools

import numpy as np
import pytest

from minibert.tasks.examples import IGNORE
from minibert.tasks.segments.full_sentences import packed
from minibert.tasks.segments.next_sentence import sentence_pairs
from minibert.tasks.segments.sentence_order import ordered_pairs


def segments(example, vocab):
    ids = example.ids.tolist()
    assert ids[0] == vocab.cls_id
    assert ids[-1] == vocab.sep_id
    if example.next_label == IGNORE:
        assert example.split == len(ids)
        return ids[1:-1], []
    assert ids[example.split - 1] == vocab.sep_id
    return ids[1 : example.split - 1], ids[example.split : -1]


def numbered(sizes):
    """Documents whose tokens are all different: document d holds the ids 1000·d + 10, 1000·d + 11, …"""
    documents = []
    for d, lengths in enumerate(sizes):
        stops = np.cumsum(lengths) + 1000 * d + 10
        documents.append([list(range(stop - n, stop)) for stop, n in zip(stops, lengths)])
    return documents


@pytest.fixture
def numbered_documents():
    rng = np.random.default_rng(1)
    return numbered([rng.integers(1, 20, rng.integers(5, 40)) for _ in range(60)])


def test_pairs_have_true_labels_and_real_segments(tokenizer, numbered_documents):
    examples = sentence_pairs(numbered_documents, tokenizer, max_length=64, seed=3)
    for example in examples:
        assert len(example.ids) <= 64
        a, b = segments(example, tokenizer.vocab)
        assert a
        assert b
        for segment in (a, b):  # consecutive text of one document
            assert np.all(np.diff(segment) == 1)
        if example.next_label == 1:
            assert a[0] // 1000 != b[0] // 1000
        else:
            assert a[0] // 1000 == b[0] // 1000
            assert b[0] > a[-1]
    random_share = np.mean([example.next_label for example in examples])
    assert 0.4 < random_share < 0.7  # a chunk of one sentence always takes a random partner


def test_segments_follow_directly_when_nothing_is_truncated(tokenizer):
    documents = numbered([[5] * 8, [5] * 8])
    examples = sentence_pairs(documents, tokenizer, max_length=83, seed=0, short_prob=0.0, random_next=0.0)
    assert len(examples) == 2
    for example in examples:
        a, b = segments(example, tokenizer.vocab)
        assert b[0] == a[-1] + 1
        assert len(a) + len(b) == 40


def test_no_text_is_lost_by_putting_segments_back(tokenizer):
    documents = numbered([[7] * 10, [7] * 10, [7] * 10])
    for seed in range(5):
        # no pair of these documents reaches the limit, so that nothing is truncated
        examples = sentence_pairs(documents, tokenizer, max_length=203, seed=seed, random_next=1.0, short_prob=0.0)
        firsts = [i for example in examples for i in segments(example, tokenizer.vocab)[0]]
        assert firsts == [i for document in documents for sentence in document for i in sentence]


def test_long_pairs_are_truncated_at_the_longer_side_and_both_ends(tokenizer):
    documents = numbered([[30, 30, 30]] * 30)
    fronts = backs = 0
    for example in sentence_pairs(documents, tokenizer, max_length=64, seed=0, random_next=0.0, short_prob=0.0):
        if example.next_label == 0:
            a, b = segments(example, tokenizer.vocab)
            assert len(a) + len(b) == 61
            assert sorted([len(a), len(b)]) == [30, 31]
            longer, start, stop = (a, 10, 70) if len(a) == 31 else (b, 40, 100)
            fronts += longer[0] % 1000 > start
            backs += longer[-1] % 1000 < stop - 1
    assert fronts > 10
    assert backs > 10


def test_a_share_of_the_pairs_is_short(tokenizer, numbered_documents):
    def mean(short_prob):
        examples = sentence_pairs(numbered_documents, tokenizer, max_length=64, seed=0, short_prob=short_prob)
        return np.mean([len(example.ids) for example in examples])

    assert mean(1.0) < 0.8 * mean(0.0)


@pytest.mark.parametrize("make", [sentence_pairs, packed])
def test_the_same_key_gives_the_same_examples(make, tokenizer, documents):
    def ids(seed, epoch):
        return [e.ids.tolist() for e in make(documents, tokenizer, max_length=32, seed=seed, epoch=epoch)]

    assert ids(1, 0) == ids(1, 0)
    assert ids(1, 0) != ids(1, 1)
    assert ids(1, 0) != ids(2, 0)


def test_packed_keeps_every_token_and_fills_the_examples(tokenizer, documents, count):
    examples = packed(documents, tokenizer, max_length=64, seed=0)
    assert count(example.ids for example in examples) == count(s for d in documents for s in d)
    assert max(len(example.ids) for example in examples) <= 64
    assert np.mean([len(example.ids) for example in examples]) > 45
    for example in examples:
        segments(example, tokenizer.vocab)


def test_packed_keeps_the_order_inside_a_document_and_marks_where_documents_meet(tokenizer, numbered_documents):
    examples = packed(numbered_documents, tokenizer, max_length=100, seed=0)
    text = [i for example in examples for i in segments(example, tokenizer.vocab)[0]]
    for d, document in enumerate(numbered_documents):
        assert [i for i in text if i // 1000 == d and i >= 10] == [i for sentence in document for i in sentence]
    for example in examples:
        ids = example.ids[1:-1]
        for left, right in itertools.pairwise(ids):
            if left >= 10 and right >= 10:
                assert left // 1000 == right // 1000


@pytest.mark.parametrize("make", [sentence_pairs, packed])
def test_a_sentence_longer_than_an_example_is_continued_not_lost(make, tokenizer):
    documents = numbered([[900], [900], [3]])
    examples = make(documents, tokenizer, max_length=32, seed=0)
    seen = {i for example in examples for i in example.ids.tolist()}
    share = sum(i in seen for i in range(10, 910)) / 900
    assert share == 1 if make is packed else share > 0.5
    assert max(len(example.ids) for example in examples) <= 32


def test_empty_sentences_and_documents_are_ignored(tokenizer):
    documents = [[], [[]], [[5, 6], []], [[7], [8, 9]]]
    for make in (sentence_pairs, packed):
        for example in make(documents, tokenizer, max_length=16, seed=0):
            assert len(example.ids) > 2


def test_bad_input_is_said(tokenizer):
    with pytest.raises(ValueError, match="at least two documents with text, got 1"):
        sentence_pairs([[[5, 6]], [[]]], tokenizer, max_length=16, seed=0)
    with pytest.raises(ValueError, match="max_length must be at least 5"):
        sentence_pairs([[[5]], [[6]]], tokenizer, max_length=4, seed=0)
    with pytest.raises(ValueError, match="max_length must be at least 3"):
        packed([[[5]]], tokenizer, max_length=2, seed=0)
    with pytest.raises(ValueError, match="no text"):
        packed([[[]]], tokenizer, max_length=16, seed=0)
    with pytest.raises(ValueError, match="seed must be an integer from 0"):
        packed([[[5]]], tokenizer, max_length=16, seed=-1)


def test_the_order_is_as_the_label_says(tokenizer, numbered_documents):
    """0: b follows a, 1: a follows b, as ALBERT's label has it; and both are of one document, so that only the order tells."""
    examples = ordered_pairs(numbered_documents, tokenizer, max_length=64, seed=3)
    for example in examples:
        a, b = segments(example, tokenizer.vocab)
        if example.next_label == IGNORE:
            assert not b
            continue
        assert a[0] // 1000 == b[0] // 1000
        first, second = (a, b) if example.next_label == 0 else (b, a)
        assert first[-1] < second[0]
        assert first == list(range(first[0], first[-1] + 1))
        assert len(example.ids) <= 64
    labels = [example.next_label for example in examples if example.next_label != IGNORE]
    assert 0.35 < np.mean(labels) < 0.65
    again = ordered_pairs(numbered_documents, tokenizer, max_length=64, seed=3)
    assert all(np.array_equal(x.ids, y.ids) for x, y in zip(examples, again, strict=True))


def test_swapped_and_in_order_are_the_same_text(tokenizer, numbered_documents):
    """Whoever counts words, or looks for the topic, finds nothing: no token comes in or goes."""
    for swapped in (0.0, 1.0):
        found = ordered_pairs(numbered_documents, tokenizer, max_length=4000, seed=1, short_prob=0.0, swapped=swapped)
        assert {example.next_label for example in found} == {int(swapped)}
        tokens = sorted(itertools.chain.from_iterable(a + b for a, b in (segments(x, tokenizer.vocab) for x in found)))
        assert tokens == sorted(itertools.chain(*itertools.chain(*numbered_documents)))


def test_a_lone_sentence_is_no_pair_or_as_in_the_original_a_next_sentence_in_disguise(tokenizer):
    documents = numbered([[6], [7], [5]])
    alone = ordered_pairs(documents, tokenizer, max_length=64, seed=0)
    assert [example.next_label for example in alone] == [IGNORE] * 3
    assert [segments(example, tokenizer.vocab)[0] for example in alone] == [document[0] for document in documents]
    for example, document in zip(ordered_pairs(documents, tokenizer, max_length=64, seed=0, lone_from_another=True), documents,
                                 strict=True):
        a, b = segments(example, tokenizer.vocab)
        assert (a, example.next_label) == (document[0], 1)
        assert b[0] // 1000 != a[0] // 1000
    assert ordered_pairs(documents[:1], tokenizer, max_length=64, seed=0)
    with pytest.raises(ValueError, match="at least 2 documents with text, got 1"):
        ordered_pairs(documents[:1], tokenizer, max_length=64, seed=0, lone_from_another=True)
    with pytest.raises(ValueError, match="max_length must be at least 5"):
        ordered_pairs(documents, tokenizer, max_length=4, seed=0)
