"""Micro-batches rebuild what went in; the stream depends on its position and on nothing else."""

import numpy as np
import pytest

from minibert.tasks.batches import Position, Stream, collate, held_out, micro_batches, shifted
from minibert.tasks.corruption import next_words
from minibert.tasks.examples import IGNORE


@pytest.fixture
def stream(documents, tokenizer):
    return Stream(documents, tokenizer, max_length=48, batch_size=16, seed=5)


def originals(batches):
    """(ids with the labels put back, types, next label) of every row, without padding, sorted."""
    rows = []
    for batch in batches:
        B, T = batch.ids.shape
        ids = batch.ids.copy()
        ids.reshape(-1)[batch.positions] = batch.targets["mlm"]
        real = np.ones((B, T), bool) if batch.attention_mask is None else batch.attention_mask
        for b in range(B):
            rows.append((ids[b][real[b]].tolist(), batch.token_type_ids[b][real[b]].tolist(), int(batch.targets["nsp"][b])))
    return sorted(rows)


def test_collate_rebuilds_the_examples(stream):
    examples, _ = stream.batch()
    batch = collate(examples)
    assert batch.ids.shape == (16, max(len(example.ids) for example in examples))
    expected = []
    for example in examples:
        ids = example.ids.copy()
        ids[example.positions] = example.labels
        types = [0] * example.split + [1] * (len(ids) - example.split)
        expected.append((ids.tolist(), types, example.next_label))
    assert originals([batch]) == sorted(expected)
    assert batch.tokens == sum(len(example.ids) for example in examples)
    assert len(batch.positions) == sum(len(example.labels) for example in examples)
    assert np.all(batch.targets["nsp"] != IGNORE)
    padding = ~batch.attention_mask
    assert np.all(batch.ids[padding] == 0)
    assert np.all(batch.token_type_ids[padding] == 0)
    assert {x.dtype for x in (batch.ids, batch.positions, batch.targets["mlm"], batch.targets["nsp"])} == {np.dtype(np.int64)}


def test_nothing_padded_has_no_mask(stream):
    examples, _ = stream.batch()
    assert collate(examples[:1]).attention_mask is None
    assert collate([examples[0]] * 3).tokens == 3 * len(examples[0].ids)


@pytest.mark.parametrize("max_tokens", [1, 60, 200, 512, 10_000])
def test_the_token_budget_changes_the_cut_and_nothing_else(stream, max_tokens):
    examples, _ = stream.batch()
    batches = micro_batches(examples, max_tokens)
    assert originals(batches) == originals([collate(examples)])
    lengths = [batch.ids.shape[1] for batch in batches]
    assert lengths == sorted(lengths, reverse=True)
    for batch in batches:
        assert batch.ids.size <= max_tokens or len(batch.ids) == 1
        assert batch.attention_mask is None or batch.attention_mask.sum(1).max() == batch.ids.shape[1]
    assert sum(len(batch.positions) for batch in batches) == sum(len(example.labels) for example in examples)


def test_shifted_sequences_stand_anywhere_in_their_room_and_are_cut_alike(stream):
    examples, _ = stream.batch()
    longest = max(len(example.ids) for example in examples)
    places = []
    for max_tokens in (20, 10**6):
        batches = shifted(micro_batches, longest + 9, first=2)(examples, max_tokens=max_tokens)
        rows = {}
        for batch, plain in zip(batches, micro_batches(examples, max_tokens)):
            np.testing.assert_array_equal(batch.ids, plain.ids)
            real = np.ones(batch.ids.shape, bool) if batch.attention_mask is None else batch.attention_mask
            assert batch.position_ids.min() >= 2
            assert batch.position_ids.max() < 2 + longest + 9
            for ids, at, mine in zip(batch.ids, batch.position_ids, real):
                assert (np.diff(at[mine]) == 1).all()
                rows[tuple(ids[mine])] = at[0]
        places.append(rows)
    assert places[0] == places[1]
    assert len(set(places[0].values())) > 2


def test_a_prefix_stands_anywhere_too(stream):
    examples, _ = Stream(stream.documents, stream.tokenizer, max_length=16, batch_size=8, seed=5, pairs="prefix",
                         corruption=next_words).batch()
    [batch] = shifted(micro_batches, 20)(examples, max_tokens=10**6)
    assert batch.attention_mask.ndim == 3
    assert batch.lengths.tolist() == sorted((len(example.ids) for example in examples), reverse=True)
    for at, n in zip(batch.position_ids, batch.lengths):
        assert (np.diff(at[:n]) == 1).all()


def test_similar_lengths_waste_little(stream):
    examples, _ = Stream(stream.documents, stream.tokenizer, max_length=48, batch_size=256, seed=5).batch()
    sorted_size = sum(batch.ids.size for batch in micro_batches(examples))
    assert sorted_size < 1.1 * sum(len(example.ids) for example in examples)


def test_an_epoch_shows_every_example_once(stream):
    expected = sorted((e.ids.tolist(), e.next_label) for e in stream.examples(0))
    seen, position = [], Position()
    while position.epoch == 0:
        examples, after = stream.batch(position)
        room = len(expected) - position.index
        for example in examples[:room]:
            ids = example.ids.copy()
            ids[example.positions] = example.labels
            seen.append((ids.tolist(), example.next_label))
        position = after
    assert sorted(seen) == expected
    assert 0 < position.index < 16 or len(expected) % 16 == 0  # the last batch was filled from the next epoch
    first = [e.ids.tolist() for e in stream.examples(0)][:16]
    assert [ids for ids, _ in seen[:16]] != first  # shuffled


def same(left, right):
    return all(
        np.array_equal(a.ids, b.ids) and np.array_equal(a.positions, b.positions) and a[1:3] == b[1:3]
        for a, b in zip(left, right, strict=True)
    )


def test_a_position_is_all_it_takes_to_continue(documents, tokenizer):
    def new():
        return Stream(documents, tokenizer, max_length=48, batch_size=100, seed=5)

    stream, position, run = new(), Position(), []
    for _ in range(12):
        run.append((position, stream.batch(position)[0]))
        position = stream.batch(position)[1]
    assert position.epoch >= 2
    for position, examples in reversed(run):
        assert same(new().batch(tuple(position))[0], examples)


def test_masks_are_new_each_epoch_unless_static(documents, tokenizer):
    def epoch(stream, number):
        stream.batch_size = len(stream.examples(number))
        return sorted((e.ids.tolist(), e.positions.tolist()) for e in stream.batch((number, 0))[0])

    def make(**options):
        return Stream(documents, tokenizer, max_length=48, batch_size=1, seed=5, **options)

    assert epoch(make(), 0) != epoch(make(), 1)
    assert epoch(make(static_masks=True), 0) == epoch(make(static_masks=True), 1)
    two = make(static_masks=True, dupe_factor=2)
    assert epoch(two, 0) != epoch(two, 1)
    assert epoch(two, 1) == epoch(two, 3)


def test_another_seed_is_another_run(documents, tokenizer):
    a, b = (Stream(documents, tokenizer, max_length=48, batch_size=16, seed=seed).batch()[0] for seed in (1, 2))
    assert [e.ids.tolist() for e in a] != [e.ids.tolist() for e in b]


def test_without_pairs(documents, tokenizer):
    for stream in (
        Stream(documents, tokenizer, max_length=48, batch_size=4, seed=0, next_sentence=False),
        Stream(documents[:1], tokenizer, max_length=48, batch_size=4, seed=0),  # one document has no pairs
    ):
        batch = collate(stream.batch()[0])
        assert np.all(batch.targets["nsp"] == IGNORE)
        assert not batch.token_type_ids.any()


def test_held_out_batches_never_change(documents, tokenizer):
    first, second = (held_out(documents[:10], tokenizer, max_length=48) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        for x, y in zip((*a[:3], a.positions, *a.targets.values()), (*b[:3], b.positions, *b.targets.values())):
            assert np.array_equal(x, y)
    small = held_out(documents[:10], tokenizer, max_length=48, max_tokens=100)
    assert originals(small) == originals(first)
    assert sum(len(batch.ids) for batch in held_out(documents, tokenizer, max_length=48, max_examples=20)) == 20


def test_bad_input_is_said(stream, documents, tokenizer):
    with pytest.raises(ValueError, match="no examples"):
        collate([])
    with pytest.raises(ValueError, match="max_tokens must be at least 1"):
        micro_batches(stream.batch()[0], 0)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        Stream(documents, tokenizer, max_length=48, batch_size=0, seed=0)
    with pytest.raises(ValueError, match="dupe_factor must be at least 1"):
        Stream(documents, tokenizer, max_length=48, batch_size=1, seed=0, dupe_factor=0)


@pytest.mark.parametrize(("done", "rate"), [(0.0, 0.5), (0.5, 0.375), (1.0, 0.25)])
def test_what_is_hidden_falls_in_a_line(documents, tokenizer, done, rate):
    stream = Stream(documents, tokenizer, max_length=48, batch_size=16, seed=5, rate=0.5, last_rate=0.25)
    stream.at(done)
    for example in stream.batch()[0]:
        ids = example.ids.copy()
        ids[example.positions] = example.labels
        ordinary = len(ids) - np.isin(ids, tokenizer.vocab.special_ids).sum()
        assert len(example.positions) == max(1, round(rate * ordinary))
