"""Masking for a generator: as in ELECTRA's original, but that a token which is drawn twice has one fate."""

import numpy as np

from minibert.tasks.batches import Stream, collate
from minibert.tasks.corruption import replaced
from minibert.tasks.examples import IGNORE, Example

LENGTH = 102  # [CLS], a hundred words, [SEP]


def examples(tokenizer, count=2000, seed=0):
    rng, vocab = np.random.default_rng(seed), tokenizer.vocab
    for _ in range(count):
        ids = rng.integers(5, len(vocab), LENGTH).astype(np.int32)
        ids[[0, -1]] = vocab.cls_id, vocab.sep_id
        yield Example(ids, LENGTH, IGNORE)


def test_tokens_are_drawn_with_replacement_and_hidden_or_left(tokenizer):
    rule, hidden, kept, again, drawn = replaced.rule(tokenizer), 0, 0, 0, 0
    for i, example in enumerate(examples(tokenizer)):
        masked = replaced.mask_example(example, rule, (1, 0, i))
        seen, positions, labels = masked.ids, masked.positions, masked.labels
        assert len(positions) == len(labels) == len(masked.others["replaced"]) == 15  # round(0.15 · 102): with special tokens
        assert np.array_equal(labels, example.ids[positions])
        assert (np.diff(positions) >= 0).all()
        assert 0 < positions.min() <= positions.max() < LENGTH - 1
        unique = np.unique(positions)
        drawn, again = drawn + 15, again + 15 - len(unique)
        hidden += int((seen[unique] == tokenizer.vocab.mask_id).sum())
        kept += int((seen[unique] == example.ids[unique]).sum())
        untouched = np.setdiff1d(np.arange(LENGTH), positions)
        assert np.array_equal(seen[untouched], example.ids[untouched])
    assert hidden + kept == drawn - again  # no random tokens
    assert abs(hidden / (hidden + kept) - 0.85) < 4 * np.sqrt(0.85 * 0.15 / (hidden + kept))
    expected = 1 - 100 / 15 * (1 - 0.99**15)  # the share of draws that hit a token again
    assert abs(again / drawn - expected) < 0.005


def test_a_token_that_is_drawn_twice_has_one_number(tokenizer):
    rule = replaced.rule(tokenizer, rate=0.9)
    numbers = []
    for i, example in enumerate(examples(tokenizer, 50)):
        masked = replaced.mask_example(example, rule, (1, 0, i))
        found = {int(position): number for position, number in zip(masked.positions, masked.others["replaced"])}
        assert [found[position] for position in masked.positions.tolist()] == masked.others["replaced"].tolist()
        numbers += found.values()
    assert 0 <= min(numbers) < 0.01 < 0.99 < max(numbers) < 1
    assert len(set(numbers)) == len(numbers)


def test_the_same_key_gives_the_same(tokenizer):
    rule, [example] = replaced.rule(tokenizer), examples(tokenizer, 1)
    one, two, other = (replaced.mask_example(example, rule, key) for key in ((3, 1, 2), (3, 1, 2), (3, 1, 3)))
    assert all(np.array_equal(a, b) for a, b in zip((*one[:5], one.others["replaced"]), (*two[:5], two.others["replaced"])))
    assert not np.array_equal(one.others["replaced"], other.others["replaced"])


def test_where_all_is_special_nothing_is_drawn(tokenizer):
    ids = np.array([tokenizer.vocab.cls_id, tokenizer.vocab.sep_id], np.int32)
    masked = replaced.mask_example(Example(ids, 2, IGNORE), replaced.rule(tokenizer), (0, 0, 0))
    assert np.array_equal(masked.ids, ids)
    assert len(masked.positions) == len(masked.labels) == len(masked.others["replaced"]) == 0


def test_a_stream_carries_the_numbers_to_the_batch(documents, tokenizer):
    stream = Stream(documents, tokenizer, max_length=24, batch_size=6, seed=0, next_sentence=False, corruption=replaced)
    found, _ = stream.batch()
    batch = collate(found)
    assert batch.targets["replaced"].shape == batch.targets["mlm"].shape == batch.positions.shape
    assert batch.targets["replaced"].dtype == np.float64
