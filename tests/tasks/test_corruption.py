"""Every way of hiding: its counts and shares, its traps, and the original's algorithm told again."""

import random
from collections import Counter
from itertools import chain

import numpy as np
import pytest

from minibert.tasks.batches import Stream, collate
from minibert.tasks.corruption import CORRUPTIONS, frequency, gap_words, ngrams, phrases, reference_words, roberta, spans, units
from minibert.tasks.examples import IGNORE, Example, Marked
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training import options

PIECES = 305  # the first id of the fixture's pieces that go on with a word


def row(tokenizer, *parts):
    """[CLS] part [SEP] part [SEP]"""
    vocab = tokenizer.vocab
    ids = np.array([vocab.cls_id, *(i for part in parts for i in (*part, vocab.sep_id))], np.int32)
    return Example(ids, len(parts[0]) + 2 if len(parts) > 1 else len(ids), IGNORE)


def random_rows(tokenizer, count=300, seed=0):
    rng = np.random.default_rng(seed)
    for n in rng.integers(10, 60, count):
        ids = rng.integers(5, len(tokenizer.vocab), n).tolist()
        yield row(tokenizer, ids[: n // 2], ids[n // 2:])


def with_marks(example, **marks):
    return example._replace(marks={name: np.array(values) for name, values in marks.items()})


def test_the_options_know_every_way():
    assert options.MASKING == tuple(CORRUPTIONS)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_put_back_is_the_text_and_the_same_key_gives_the_same(name, tokenizer, documents):
    way = CORRUPTIONS[name]
    texts = Marked(documents, {"begins": [[np.arange(len(s)) % 2 == 0 for s in d] for d in documents]})
    one, two = (Stream(texts, tokenizer, max_length=40, batch_size=64, seed=1, corruption=way.module, **way.options)
                for _ in range(2))
    examples, masked = one.examples(0), one.batch()[0]
    for a, b in zip(masked, two.batch()[0]):
        assert np.array_equal(a.ids, b.ids)
        assert np.array_equal(a.positions, b.positions)
    known = {(example.ids.tobytes(), example.next_label) for example in examples}
    special = {*tokenizer.vocab.special_ids}
    for m in masked:
        ids = m.ids.copy()
        ids[m.positions] = m.labels
        assert (ids.tobytes(), m.next_label) in known
        assert (np.diff(m.positions) > 0).all()
        assert len(m.labels) == len(m.positions)
        assert name == "roberta-special" or not special & {*m.labels.tolist()}
    share = sum(len(m.positions) for m in masked) / sum(len(m.ids) for m in masked)
    assert 0.08 < share < 0.2
    assert collate(masked).targets["mlm"].dtype == np.int64


# --- whole words of the reference, and ALBERT's n-grams --------------------------------------------------------------


class Shuffled(random.Random):
    """Its shuffle is an order that is given."""

    def __init__(self, order):
        super().__init__(0)
        self.order = order

    def shuffle(self, x):
        x[:] = [x[i] for i in self.order]


def reference(tokens, continues, rng, budget):
    """``create_masked_lm_predictions`` with whole words, told again: which places are chosen."""
    candidates = []
    for i, token in enumerate(tokens):
        if token in ("[CLS]", "[SEP]"):
            continue
        if candidates and continues[i]:
            candidates[-1].append(i)
        else:
            candidates.append([i])
    rng.shuffle(candidates)
    chosen = []
    for places in candidates:
        if len(chosen) >= budget:
            break
        if len(chosen) + len(places) > budget:
            continue
        chosen += places
    return sorted(chosen)


def test_whole_words_are_the_references(tokenizer):
    rng = np.random.default_rng(1)
    for example in random_rows(tokenizer):
        names = [tokenizer.vocab.tokens[i] for i in example.ids]
        places = np.flatnonzero(example.ids >= 5)
        words = units.runs(example.ids[places] < PIECES)
        order, budget = rng.permutation(len(words)), units.budget_of(len(example.ids), 0.15, 20)
        assert budget == min(20, max(1, round(len(names) * 0.15)))
        expected = reference(names, [name.startswith("##") for name in names], Shuffled(order), budget)
        assert places[reference_words.choose(words, order, budget)].tolist() == expected


def test_a_piece_at_the_front_of_b_goes_with_the_last_word_of_a(tokenizer):
    rule = reference_words.rule(tokenizer, rate=0.4)
    example = row(tokenizer, [10], [PIECES, PIECES + 1])  # [CLS] word [SEP] ##piece ##piece [SEP]
    assert reference_words.mask_example(example, rule, (0, 0, 0)).positions.tolist() == []  # three tokens, a budget of two
    rule = reference_words.rule(tokenizer, rate=0.5)
    assert reference_words.mask_example(example, rule, (0, 0, 0)).positions.tolist() == [1, 3, 4]


def test_a_word_of_thirty_pieces_is_passed_over(tokenizer):
    long, rule = row(tokenizer, [10, *[PIECES] * 29]), ngrams.rule(tokenizer)
    assert len(reference_words.mask_example(long, reference_words.rule(tokenizer), (0, 0, 0)).positions) == 0
    rule.begins[PIECES] = False  # what holds a digit would begin a word
    assert len(ngrams.mask_example(long, rule, (0, 0, 0)).positions) == 0
    both = row(tokenizer, [10, *[PIECES] * 29, 11])
    for i in range(5):
        assert reference_words.mask_example(both, reference_words.rule(tokenizer), (0, 0, i)).positions.tolist() == [31]


def albert(words, order, sizes, budget):
    """ALBERT's ``create_masked_lm_predictions`` told again. sizes: the n that is drawn for each word."""
    sets = [[words[i:i + n] for n in (1, 2, 3)] for i in range(len(words))]
    chosen, covered = [], set()
    for start in order:
        if len(chosen) >= budget:
            break
        n = sizes[start]
        places = [*chain(*sets[start][n - 1])]
        n -= 1
        while len(chosen) + len(places) > budget:
            if n == 0:
                break
            places = [*chain(*sets[start][n - 1])]
            n -= 1
        if len(chosen) + len(places) > budget or any(place in covered for place in places):
            continue
        covered |= {*places}
        chosen += places
    return sorted(chosen)


def test_ngrams_are_alberts(tokenizer):
    rng = np.random.default_rng(2)
    for example in random_rows(tokenizer):
        ids = example.ids[example.ids >= 5]
        words = units.runs(ids < PIECES)
        order, sizes = rng.permutation(len(words)), rng.integers(1, 4, len(words))
        budget = int(rng.integers(1, 21))
        expected = albert([[*range(*word)] for word in words], order, sizes, budget)
        assert ngrams.choose(words, order, sizes, budget).tolist() == expected


def test_n_is_drawn_by_one_over_n(tokenizer):
    """In a long text with room for one n-gram, how many neighbours are chosen is n."""
    rule = ngrams.rule(tokenizer, most=3, rate=0.5)
    assert rule.chances == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    counts, long = Counter(), row(tokenizer, [10 + i for i in range(200)])
    for i in range(1500):
        positions = ngrams.mask_example(long, rule._replace(most=20), (0, 0, i)).positions
        runs = np.split(positions, np.flatnonzero(np.diff(positions) > 1) + 1)
        counts.update(len(run) for run in runs)
    total = sum(counts[n] for n in (1, 2, 3))  # two may touch, and the last is made shorter
    for n, share in ((1, 6 / 11), (2, 3 / 11), (3, 2 / 11)):
        assert counts[n] / total == pytest.approx(share, abs=0.06)


def test_ngrams_cross_the_separator_and_digits_begin_words(tokenizer):
    rule = ngrams.rule(tokenizer, rate=0.4)
    crossing = 0
    for i in range(200):
        positions = {*ngrams.mask_example(row(tokenizer, [10, 11], [12, 13]), rule, (0, 0, i)).positions.tolist()}
        crossing += {2, 4} <= positions  # the last of a and the first of b; 3 is the [SEP]
    assert crossing > 30
    begins = dict(zip(tokenizer.vocab.tokens, rule.begins))
    assert begins["word0"]
    assert begins["##piece7"]
    plain = Tokenizer(Vocabulary([*SPECIAL, "play", "##ing", "##7", "##,"]))
    assert dict(zip(plain.vocab.tokens[5:], ngrams.rule(plain).begins[5:])) == {
        "play": True, "##ing": False, "##7": True, "##,": True}


# --- the others ------------------------------------------------------------------------------------------------------


def spanbert(words, anchors, sizes, budget):
    """``PairWithSpanMaskingScheme.mask`` told again, for a text of one segment; one of the anchors is drawn after the other."""
    mask = set()
    for anchor in anchors:
        if len(mask) >= budget:
            break
        if anchor in mask:
            continue
        number = next(i for i, word in enumerate(words) if anchor in word)
        count = 0
        while count < sizes[anchor] and number + count < len(words) and len(mask) < budget:
            for i in words[number + count]:
                if len(mask) >= budget:
                    break
                mask.add(i)
            count += 1
    return sorted(mask)


def test_spans_are_spanberts(tokenizer):
    rng = np.random.default_rng(3)
    for example in random_rows(tokenizer, 100):
        ids = example.ids[example.ids >= 5]
        words, whole = units.runs(ids < PIECES), np.arange(len(ids)) == 0
        anchors, sizes, budget = rng.permutation(len(ids)), rng.integers(1, 11, len(ids)), int(rng.integers(1, 12))
        expected = spanbert([range(*word) for word in words], anchors, sizes, budget)
        assert spans.choose(words, whole, anchors, sizes, budget).tolist() == expected


def test_spans_have_geometric_lengths_and_one_fate_and_stay_in_their_segment(tokenizer):
    rule = spans.rule(tokenizer)
    chances = np.diff(rule.chances, prepend=0)
    assert chances[1:] / chances[:-1] == pytest.approx(0.8)
    assert (chances * np.arange(1, 11)).sum() == pytest.approx(3.8, abs=0.01)
    long, lengths = row(tokenizer, [10 + i for i in range(120)]), []
    for i in range(200):
        masked = spans.mask_example(long, rule, (0, 0, i))
        assert len(masked.positions) == 18
        for run in np.split(masked.positions, np.flatnonzero(np.diff(masked.positions) > 1) + 1):
            lengths.append(len(run))
            assert len({*(masked.ids[run] == tokenizer.vocab.mask_id)}) == 1
    assert 3.3 < np.mean(lengths) < 4.7  # those that touch are one
    four, apart = [(i, i + 1) for i in range(4)], np.array([True, False, True, False])  # two words in each segment
    assert spans.choose(four, apart, [1, 3, 0], [2] * 4, 2).tolist() == [1, 3]  # and not 1, 2


def test_gaps_make_words_and_they_are_always_masked(tokenizer):
    rule = gap_words.rule(tokenizer)
    begins = [False, True, False, True, False, False, True, False]
    example = with_marks(row(tokenizer, [10, 11, 12], [13, 14, 15]), begins=[*begins, False][:9])
    assert [word.tolist() for word in gap_words.words_of(example, rule)] == [[1, 2], [3], [5], [6, 7]]
    chosen = Counter()
    for i in range(3000):
        masked = gap_words.mask_example(example, rule, (0, 0, i))
        assert (masked.ids[masked.positions] == tokenizer.vocab.mask_id).all()
        assert (1 in masked.positions) == (2 in masked.positions)
        chosen.update(masked.positions.tolist())
    for place in (1, 3, 5, 6):
        assert chosen[place] / 3000 == pytest.approx(0.15, abs=0.03)


def test_robertas_counts_have_no_rest(tokenizer):
    example, special = row(tokenizer, [10 + i for i in range(10)]), roberta.rule(tokenizer, special=True)
    counts = [len(roberta.mask_example(example, roberta.rule(tokenizer), (0, 0, i)).positions) for i in range(1000)]
    assert {*counts} == {1, 2}  # of 1.5
    assert np.mean(counts) == pytest.approx(1.5, abs=0.05)
    assert len(roberta.mask_example(row(tokenizer, [10]), roberta.rule(tokenizer), (0, 0, 1)).positions) <= 1
    ends, drawn = 0, set()
    for i in range(1000):
        masked = roberta.mask_example(example, special, (0, 0, i))
        ends += bool({0, 11} & {*masked.positions.tolist()})
        drawn |= {*masked.ids[masked.positions].tolist()}
    assert ends / 1000 == pytest.approx(2 * 0.15, abs=0.05)
    assert not {0, 1} & drawn  # a random token is none of the first four


def test_robertas_words_have_one_fate_each(tokenizer):
    rule, kinds = roberta.rule(tokenizer, whole_word=True), Counter()
    example = row(tokenizer, [10, PIECES, PIECES, 11, PIECES, 12, 13, PIECES])
    for i in range(1000):
        masked = roberta.mask_example(example, rule, (0, 0, i))
        for start, stop in ((1, 4), (4, 6), (6, 7), (7, 9)):
            inside = [place in masked.positions for place in range(start, stop)]
            assert len({*inside}) == 1
            if inside[0]:
                is_mask = masked.ids[start:stop] == tokenizer.vocab.mask_id
                assert is_mask.all() or not is_mask.any()
                kinds["mask" if is_mask.all() else "other"] += 1
    assert kinds["mask"] / kinds.total() == pytest.approx(0.8, abs=0.06)


def test_phrases_are_units_with_a_fate_for_each_token():
    vocab = Vocabulary([*SPECIAL, "new", "york", "city", "is", "big", "##ger", "in"])
    tokenizer = Tokenizer(vocab)
    rule = phrases.rule(tokenizer, phrases=["new york", "New York City", "is big"])
    example = row(tokenizer, tokenizer.ids("new york city is bigger in new york"))
    assert [*phrases.units_of(example.ids, rule)] == [(1, 4), (4, 5), (5, 7), (7, 8), (8, 10)]  # "is big" would end in a word
    together, fates, chosen, tries = Counter(), Counter(), 0, 4000
    for i in range(tries):
        masked = phrases.mask_example(example, rule, (0, 0, i))
        inside = [place in masked.positions for place in (1, 2, 3)]
        assert len({*inside}) == 1
        if inside[0]:
            chosen += 1
            is_mask = (masked.ids[1:4] == vocab.mask_id).tolist()
            together[tuple(is_mask)] += 1
            fates["mask"] += sum(is_mask)
            fates["kept"] += int((masked.ids[1:4] == example.ids[1:4]).sum())
    assert chosen / tries == pytest.approx(0.15, abs=0.02)
    assert fates["mask"] / (3 * chosen) == pytest.approx(0.8, abs=0.04)
    assert fates["kept"] / (3 * chosen) == pytest.approx(0.1 + 0.1 / 7, abs=0.04)  # a random one of seven may be the same
    assert len(together) > 4  # decided token by token
    assert together[True, True, True] / chosen == pytest.approx(0.8**3, abs=0.06)


def test_rare_words_are_asked_for_more_often_over_the_whole_batch(tokenizer):
    rule = frequency.rule(tokenizer)
    count = [-1, 1, 10, 100, 1000, 0, -1]
    example = with_marks(row(tokenizer, [10, 11, 12, 13, tokenizer.vocab.unk_id]), count=count)
    assert frequency.weights(example, rule)[1:5] == pytest.approx([1, 10**-0.7, 100**-0.7, 1000**-0.7])
    seen = Counter()
    for i in range(500):
        found = frequency.mask_examples([example] * 3, rule, [(0, 0, 3 * i + j) for j in range(3)])
        assert sum(len(m.positions) for m in found) == 4  # ceil(0.15 · 21), over all three
        for m in found:
            seen.update(m.positions.tolist())
    assert not seen[5]  # [UNK] is special
    assert seen[1] > seen[2] > seen[3] > seen[4] > 0
    one = Counter()
    for i in range(3000):  # the first of them: in proportion to the weights
        [m] = frequency.mask_examples([example], rule._replace(tokens=rule.tokens._replace(rate=0.1)), [(1, 0, i)])
        one.update(m.positions.tolist())
    expected = np.array([1, 10**-0.7, 100**-0.7, 1000**-0.7])
    for place, share in zip((1, 2, 3, 4), expected / expected.sum()):
        assert one[place] / 3000 == pytest.approx(share, abs=0.035)
