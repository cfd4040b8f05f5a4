"""Masking: the shares are those of the paper, special tokens stay, and a key always gives the same masks."""

import numpy as np
import pytest

from minibert.tasks.corruption.masking import mask, mask_example, rule
from minibert.tasks.examples import IGNORE, Example


@pytest.fixture(scope="module")
def rows(tokenizer):
    """2,000 sequences [CLS] … [SEP] … [SEP] [PAD] of 5 to 100 ordinary tokens."""
    rng = np.random.default_rng(0)
    vocab = tokenizer.vocab
    result = []
    for n in rng.integers(5, 101, 2000):
        ids = rng.integers(5, len(vocab), n)
        split = n // 2
        special = [[vocab.cls_id], ids[:split], [vocab.sep_id], ids[split:], [vocab.sep_id, vocab.pad_id]]
        result.append(np.concatenate(special).astype(np.int32))
    return result


@pytest.mark.parametrize("whole_word", [False, True])
def test_shares_are_those_asked_for(tokenizer, rows, whole_word):
    chosen = masked = kept = ordinary = 0
    for i, ids in enumerate(rows):
        seen, positions, labels = mask(ids, rule(tokenizer, whole_word=whole_word), (1, 0, i))
        chosen += len(positions)
        ordinary += int((ids >= 5).sum())
        masked += int((seen[positions] == tokenizer.vocab.mask_id).sum())
        kept += int((seen[positions] == labels).sum())
    n_random = chosen - masked - kept

    def near(count, share, of):  # four standard errors
        assert abs(count / of - share) < 4 * np.sqrt(share * (1 - share) / of)

    assert abs(chosen / ordinary - 0.15) < (0.01 if whole_word else 0.003)
    near(masked, 0.8, chosen)
    near(n_random, 0.1, chosen)
    near(kept, 0.1, chosen)


@pytest.mark.parametrize("whole_word", [False, True])
def test_special_tokens_are_neither_chosen_nor_drawn(tokenizer, rows, whole_word):
    hide = rule(tokenizer, whole_word=whole_word, mask_share=0.0, random_share=1.0)
    for i, ids in enumerate(rows):
        seen, positions, labels = mask(ids, hide, (1, 0, i))
        assert not set(labels.tolist()) & set(tokenizer.vocab.special_ids)
        assert not set(seen[positions].tolist()) & set(tokenizer.vocab.special_ids)
        assert seen.shape == ids.shape
        untouched = np.ones(len(ids), bool)
        untouched[positions] = False
        assert np.array_equal(seen[untouched], ids[untouched])


def test_every_ordinary_token_can_be_drawn_and_every_place_chosen(tokenizer, rows):
    hide = rule(tokenizer, mask_share=0.0, random_share=1.0)
    drawn, places = np.zeros(len(tokenizer.vocab), int), np.zeros(100, int)
    ids = np.full(102, 7, np.int32)
    ids[[0, -1]] = tokenizer.vocab.cls_id, tokenizer.vocab.sep_id
    for i in range(4000):
        seen, positions, _ = mask(ids, hide, (0, 0, i))
        drawn += np.bincount(seen[positions], minlength=len(drawn))
        places += np.bincount(positions - 1, minlength=100)
    assert np.all(drawn[5:] > 0)
    assert places.min() > 0.8 * places.mean()
    assert places.max() < 1.2 * places.mean()


def test_count_is_the_rounded_share_and_at_least_one(tokenizer):
    for n, expected in [(1, 1), (3, 1), (10, 2), (100, 15), (126, 19)]:
        ids = np.full(n + 2, 9, np.int32)
        ids[[0, -1]] = tokenizer.vocab.cls_id, tokenizer.vocab.sep_id
        assert len(mask(ids, rule(tokenizer), (0, 0, 0))[1]) == expected
    assert len(mask(np.array([2, 3], np.int32), rule(tokenizer), (0, 0, 0))[1]) == 0
    assert len(mask(np.full(20, 9, np.int32), rule(tokenizer, rate=1.0), (0, 0, 0))[1]) == 20


def test_labels_put_back_give_the_original(tokenizer, rows):
    for whole_word in (False, True):
        hide = rule(tokenizer, whole_word=whole_word)
        for i, ids in enumerate(rows[:200]):
            before = ids.copy()
            seen, positions, labels = mask(ids, hide, (1, 2, i))
            seen[positions] = labels
            assert np.array_equal(seen, before)
            assert np.array_equal(ids, before)
            assert np.all(np.diff(positions) > 0)


def test_the_same_key_gives_the_same_masks_and_another_key_others(tokenizer, rows):
    hide = rule(tokenizer)

    def positions(*key):
        return mask(rows[0], hide, key)[1].tolist()

    assert positions(1, 2, 3) == positions(1, 2, 3)
    assert len({tuple(positions(*key)) for key in [(1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3), (3, 2, 1)]}) == 5


def test_whole_words_are_chosen_whole(tokenizer, rows):
    hide = rule(tokenizer, whole_word=True)
    split_words = 0
    for i, ids in enumerate(rows):
        positions = set(mask(ids, hide, (1, 0, i))[1].tolist())
        for t in range(1, len(ids)):
            continues = ids[t] >= 305 and ids[t - 1] >= 5  # a piece after an ordinary token
            if continues:
                assert (t in positions) == (t - 1 in positions)
                split_words += t in positions
    assert split_words > 1000


def test_single_token_masking_does_split_words(tokenizer, rows):
    hide = rule(tokenizer)
    broken = 0
    for i, ids in enumerate(rows[:200]):
        positions = set(mask(ids, hide, (1, 0, i))[1].tolist())
        broken += sum(ids[t] >= 305 and ids[t - 1] >= 5 and (t in positions) != (t - 1 in positions) for t in range(1, len(ids)))
    assert broken > 0


def test_an_example_keeps_its_segments(tokenizer):
    example = Example(np.array([2, 9, 9, 3, 9, 3], np.int32), 4, 1)
    masked = mask_example(example, rule(tokenizer), (0, 0, 0))
    assert (masked.split, masked.next_label) == (4, 1)
    assert masked.ids.dtype == np.int32
    assert masked.positions.dtype == masked.labels.dtype == np.int64


def test_ignore_is_no_class():
    assert IGNORE < 0


def test_bad_rates_are_said(tokenizer):
    with pytest.raises(ValueError, match="rate must be in"):
        rule(tokenizer, rate=0)
    with pytest.raises(ValueError, match="sum to at most 1"):
        rule(tokenizer, mask_share=0.8, random_share=0.3)
