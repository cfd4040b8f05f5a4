"""Sentence pairs and packed sentences: what goes in comes out, at the right length, with true labels."""

import itertools

import numpy as np
import pytest

from minibert.model import pretraining
from minibert.tasks.examples import IGNORE
from minibert.tasks.segments import SEGMENTS
from minibert.tasks.segments.distance import ADJACENT, OTHER, SAME, distances
from minibert.tasks.segments.full_sentences import packed
from minibert.tasks.segments.next_sentence import sentence_pairs
from minibert.tasks.segments.reordering import ORDERS, reordered
from minibert.tasks.segments.sentence_order import TERM, apart, ordered_pairs
from minibert.tasks.segments.three_ways import NEXT, PREVIOUS, RANDOM, three_ways
from minibert.training import options


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
    with pytest.raises(ValueError, match="at least 2 documents with text, got 1"):
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


def test_the_order_apart_is_the_same_asked_of_another_head(tokenizer):
    documents = numbered([[6], [7, 5, 4], [5, 8]])
    for one, other in zip(ordered_pairs(documents, tokenizer, max_length=64, seed=3),
                          apart(documents, tokenizer, max_length=64, seed=3), strict=True):
        assert np.array_equal(one.ids, other.ids)
        assert (other.next_label, other.targets) == (IGNORE, {TERM: one.next_label})


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


def parts(example, vocab):
    """The texts between the special tokens."""
    ids, found = example.ids.tolist(), [[]]
    assert ids[0] == vocab.cls_id
    assert ids[-1] == vocab.sep_id
    for i in ids[1:-1]:
        found.append([]) if i == vocab.sep_id else found[-1].append(i)
    return found


def test_the_options_know_every_way_and_every_term_has_a_head():
    assert options.PAIRS == tuple(SEGMENTS)
    assert {way.term for way in SEGMENTS.values()} <= {None, *pretraining.HEADS}
    assert pretraining.HEADS["reorder"].outputs == len(ORDERS) == 9


def test_three_ways_are_a_third_each_and_true(tokenizer, numbered_documents):
    examples = three_ways(numbered_documents, tokenizer, max_length=64, seed=3)
    counts = np.zeros(3, int)
    for example in examples:
        a, b = parts(example, tokenizer.vocab)
        way = example.targets["three_ways"]
        assert len(example.ids) <= 64
        assert example.next_label == IGNORE
        assert example.split == len(a) + 2
        counts[way] += 1
        assert (a[0] // 1000 != b[0] // 1000) == (way == RANDOM)
        if way != RANDOM:
            assert (b[0] > a[-1]) == (way == NEXT)
            assert (a[0] > b[-1]) == (way == PREVIOUS)
    lone = three_ways([[[10, 11]], [[1010]], [[2010, 2011, 2012]]], tokenizer, max_length=64, seed=3, short_prob=0.0)
    assert {example.targets["three_ways"] for example in lone} == {RANDOM}  # of one sentence
    assert all(abs(count / counts.sum() - 1 / 3) < 0.12 for count in counts)


def test_distances_are_true(tokenizer, numbered_documents):
    counts = np.zeros(3, int)
    for example in distances(numbered_documents, tokenizer, max_length=40, seed=3):
        a, b = parts(example, tokenizer.vocab)
        way = example.targets["distance"]
        counts[way] += 1
        assert (a[0] // 1000 != b[0] // 1000) == (way == OTHER)
        for segment in (a, b):
            assert np.all(np.diff(segment) == 1)
        if way == ADJACENT:
            assert b[0] > a[-1]
        if way == SAME:
            assert b[0] > a[-1] + 1 or a[0] > b[-1] + 1
    assert all(abs(count / counts.sum() - 1 / 3) < 0.12 for count in counts)


def test_of_the_same_document_there_is_a_sentence_between(tokenizer):
    documents = numbered([[3] * 12, [3] * 12])
    for example in distances(documents, tokenizer, max_length=15, seed=1, short_prob=0.0):
        a, b = parts(example, tokenizer.vocab)
        if example.targets["distance"] == SAME:
            assert b[0] > a[-1] + 3 or a[0] > b[-1] + 3


def test_parts_are_put_back_by_their_class(tokenizer, numbered_documents):
    """The inverse of the permutation that the class names gives the text; all nine classes come."""
    seen = set()
    for epoch in range(3):
        for example in reordered(numbered_documents, tokenizer, max_length=64, seed=3, epoch=epoch):
            found, order = parts(example, tokenizer.vocab), ORDERS[example.targets["reorder"]]
            assert len(example.ids) <= 64
            assert len(found) == len(order)
            assert example.split == len(example.ids)
            text = [i for part in np.argsort(order) for i in found[part]]
            assert np.all(np.diff(text) == 1)
            seen.add(order)
    assert len(seen) == 9
    assert ORDERS[:4] == [(0,), (0, 1), (1, 0), (0, 1, 2)]


def test_full_sentences_within_a_document(tokenizer, numbered_documents, count):
    examples = packed(numbered_documents, tokenizer, max_length=64, seed=0, within=True)
    assert all(len({i // 1000 for i in example.ids[1:-1].tolist()}) == 1 for example in examples)
    assert all(len(parts(example, tokenizer.vocab)) == 1 for example in examples)
    assert count(e.ids for e in examples) == count(s for d in numbered_documents for s in d)


def test_what_cannot_be_is_said(tokenizer):
    one = numbered([[5] * 8])
    for make, what in ((three_ways, "three-way pairs"), (distances, "sentence distance")):
        with pytest.raises(ValueError, match=f"for {what} there must be at least 2 documents with text, got 1: separate"):
            make(one, tokenizer, max_length=32, seed=0)
    assert reordered(one, tokenizer, max_length=32, seed=0)
    with pytest.raises(ValueError, match="max_length must be at least 7"):
        reordered(one, tokenizer, max_length=6, seed=0)
