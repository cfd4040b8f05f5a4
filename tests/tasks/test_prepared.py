"""Prepared examples as a stream: every one once an epoch, from any position on, the same as the text that they were made from."""

from types import SimpleNamespace

import numpy as np
import pytest

from minibert.data.prepared import shards, tf_example
from minibert.data.prepared.instances import Padding, original
from minibert.tasks import batches, prepared
from minibert.tasks.batches import Position
from minibert.tasks.corruption import replaced
from minibert.tasks.examples import IGNORE
from tests import tiny_model
from tests.data.test_prepared import VOCAB, examples, same

TOKENIZER = tiny_model.make()[2]
OPTIONS = {"max_length": 24, "batch_size": 7, "seed": 3}


@pytest.fixture
def part(tmp_path, monkeypatch):
    """Forty examples in three files, read in blocks of four and pools of ten."""
    monkeypatch.setattr(tf_example, "BLOCK", 4)
    monkeypatch.setattr(shards, "POOL", 10)
    for i, count in enumerate((16, 15, 12)):
        tf_example.write(tmp_path / f"{i}.tfrecord", examples(count, i), VOCAB, Padding(24, 4))
    return shards.find([str(tmp_path)], 3 / 43, 0).train


def epochs(stream, count):
    """The examples of some epochs, an epoch a list."""
    position, found = Position(), [[] for _ in range(count)]
    while position.epoch < count:
        before = position
        some, position = stream.batch(position)
        for one in some:
            found[min(before.epoch, count - 1)].append(one)
    return found


def test_an_epoch_holds_every_example_once(part):
    stream = prepared.Stream(part, TOKENIZER, **{**OPTIONS, "batch_size": 1})
    first, second = ([one.ids.tobytes() for one in epoch] for epoch in epochs(stream, 2))
    everything = sorted(one.ids.tobytes() for i in range(len(part.blocks)) for one in part.read(i, stream.wanted))
    assert len(first) == 40
    assert sorted(first) == sorted(second) == everything
    assert first != second


def test_it_goes_on_from_any_position(part):
    whole = prepared.Stream(part, TOKENIZER, **OPTIONS)
    position, said = Position(), []
    for _ in range(14):
        some, after = whole.batch(position)
        said.append((position, some, after))
        position = after
    assert position == Position(2, 18)
    for position, some, after in reversed(said):
        again, there = prepared.Stream(part, TOKENIZER, **OPTIONS).batch(position)
        assert there == after
        assert same(again, some)


def test_no_more_than_a_pool_is_in_memory(part, monkeypatch):
    read, whole = [], shards.Part.read
    monkeypatch.setattr(shards.Part, "read", lambda self, number, wanted: read.append(number) or whole(self, number, wanted))
    stream = prepared.Stream(part, TOKENIZER, **{**OPTIONS, "batch_size": 1})
    epochs(stream, 1)
    assert sorted(read) == list(range(len(part.blocks)))  # each block once
    assert max(len(pool) for pool in part.pools(0)) <= 3
    assert len(stream._current[1]) <= 13


def test_masks_that_are_there_are_kept_and_drawn_anew_where_asked(part):
    kept = {one.ids.tobytes() for one in epochs(prepared.Stream(part, TOKENIZER, **OPTIONS), 1)[0]}
    assert kept <= {one.ids.tobytes() for i in range(len(part.blocks))
                    for one in part.read(i, prepared.Stream(part, TOKENIZER, **OPTIONS).wanted)}
    anew = prepared.Stream(part, TOKENIZER, anew=True, **OPTIONS)
    first, second = (some for some, _ in (anew.batch(Position()), anew.batch(Position(1))))
    texts = {original(one).tobytes() for i in range(len(part.blocks)) for one in part.read(i, anew.wanted)}
    for one in (*first, *second):
        ids = one.ids.copy()
        ids[one.positions] = one.labels
        assert ids.tobytes() in texts
    numbers = prepared.Stream(part, TOKENIZER, anew=True, corruption=replaced, **OPTIONS).batch()[0][0].others["replaced"]
    assert len(numbers) >= 1


def test_no_pairs_are_asked_for_where_none_are_wanted(part):
    some, _ = prepared.Stream(part, TOKENIZER, next_sentence=False, **OPTIONS).batch()
    assert {one.next_label for one in some} == {IGNORE}


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("next_sentence", [True, False])
def test_it_is_the_text_that_it_was_made_from(masked, next_sentence):
    """Batch for batch, held-out ones too; without given masks in the first epoch, for a text's pairs are drawn anew in each."""
    rng = np.random.default_rng(0)
    documents = [[rng.integers(5, 62, rng.integers(2, 9)).tolist() for _ in range(9)] for _ in range(12)]
    text = batches.Stream(documents, TOKENIZER, next_sentence=next_sentence, static_masks=masked, **OPTIONS)
    found = list(prepared.instances(text, 1, masked))
    block = SimpleNamespace(count=len(found), format=SimpleNamespace(read=lambda block, wanted: found))
    part = shards.Part([block], [0], 0, False)
    ours = prepared.Stream(part, TOKENIZER, next_sentence=next_sentence, **OPTIONS)
    position = Position()
    while position.epoch < (3 if masked else 1):
        (theirs, after), (mine, there) = text.batch(position), ours.batch(position)
        if masked or after.epoch == 0:
            assert same(mine, theirs)
        assert there == after
        position = after
    options = {"max_length": 24, "seed": 3, "next_sentence": next_sentence, "max_tokens": 60, "max_examples": 20}
    for mine, theirs in zip(prepared.held_out(part._replace(aside=[len(found)], held_out=True), TOKENIZER, **options),
                            batches.held_out(documents, TOKENIZER, **options), strict=True):
        assert mine.ids.tolist() == theirs.ids.tolist()
        assert all(np.array_equal(mine.targets[name], theirs.targets[name]) for name in ("mlm", "nsp"))


def test_sentences_of_examples_are_their_text_without_special_tokens():
    [one] = examples(1)
    documents = prepared.sentences([one], VOCAB)
    ids = original(one).tolist()
    assert [i for sentence in documents[0] for i in sentence] == [i for i in ids if i not in VOCAB.special_ids]
