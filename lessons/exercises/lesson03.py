"""The exercises of lesson 3, from text to features, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minibert
from lessons.check import Wrong, close, exercise, expect
from minibert.config import BertConfig
from minibert.model import bert
from minibert.text import Tokenizer, Vocabulary

SPECIAL = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"]


@exercise("(ids, token_type_ids, attention_mask)", look="The rule as an equation", level="medium")
def unpack(answer: Callable[..., Any]) -> None:
    """The way back: from one row of each array, T numbers each, to two lists (a, b): the ids of the first and the second text,
    without special tokens; b is None where there is only one text. A [SEP] may also stand *inside* a text; [PAD] need not be 0.
    Example: unpack([2, 7, 8, 3, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 0]) gives ([7, 8], None)."""
    letters = list("abcdefgh")
    toy = Tokenizer(Vocabulary([*letters[:3], *SPECIAL, *letters[3:]]))  # [PAD] is not 0, and 0 is a word
    for a, b, length, hint in [
        ("b d", None, 4, "leave out [CLS] and [SEP]; one text: b is None"), ("b d", None, 7, "what the mask hides is no token"),
        ("c", "a e f", 9, "the first text ends where the type becomes 1"), ("a b c a", "g", 8, "0 is a word here: see the mask"),
        ("a [SEP] b", "c", 10, "do not look for the first [SEP]: look at the types"), ("h [SEP]", None, 9, "it may come last"),
        ("a", "", 6, "an empty second text is a list without ids: its [SEP] has type 1"),
    ]:
        encoding = toy.encode(a, b)
        row = [x[0].tolist() for x in toy.batch([encoding], length)]
        expected = toy.ids(a, special_tokens=True), None if b is None else toy.ids(b)
        got = answer(*[list(x) for x in row])
        expect(isinstance(got, tuple | list) and len(got) == 2, f"expected two lists (a, b), got {got!r}")
        got = tuple(None if part is None else [int(i) for i in part] for part in got)
        if got != expected:
            raise Wrong(f"ids {row[0]}, types {row[1]}, mask {row[2]}: expected {expected}, got {got}; {hint}")


@exercise("(ids, size, stride)", look="Too long: truncation", level="medium")
def windows(answer: Callable[..., Any]) -> None:
    """Instead of cutting a long text off, cut it into windows: lists of at most ``size`` ids, each beginning ``stride`` places
    after the one before (so they overlap where stride is smaller), as few as hold all ids. A text that fits is one window.
    Example: windows([1, 2, 3, 4, 5, 6], 4, 2) gives [[1, 2, 3, 4], [3, 4, 5, 6]]."""
    for n, size, stride in [(6, 4, 2), (4, 4, 2), (3, 4, 2), (5, 4, 2), (8, 4, 4), (9, 4, 4), (20, 7, 3), (1, 5, 1)]:
        ids = list(range(100, 100 + n))
        got = [list(window) for window in answer(list(ids), size, stride)]
        what = f"{n} ids, size {size}, stride {stride}: got {got}"
        expect(got and all(len(window) <= size for window in got), f"{what}: windows hold at most {size}; at least one")
        expect(all(window == ids[k * stride:k * stride + size] for k, window in enumerate(got)),
               f"{what}: window number k holds what begins at place k x stride, and is full where there are enough ids")
        expect(got[-1][-1:] == ids[-1:], f"{what}: the last ids are in no window")
        expect(all(window[-1] != ids[-1] for window in got[:-1]), f"{what}: the last window is not needed")


@exercise("(x, attention_mask)", look="Keep the true length", level="medium")
def mean_of_tokens(answer: Callable[..., Any]) -> None:
    """The mean of the vectors of the real tokens of each text. x is (B, T, H), attention_mask (B, T) with 1 and 0; the result is
    (B, H). What x holds in the padding must not matter."""
    rng = np.random.default_rng(3)
    lengths = np.array([5, 2, 7, 1])
    mask = (np.arange(7) < lengths[:, None]).astype(np.int64)
    x = rng.standard_normal((4, 7, 3))
    expected = np.stack([x[b, :n].mean(0) for b, n in enumerate(lengths)])
    got = answer(x.copy(), mask.copy())
    expect(np.shape(got) == (4, 3), f"expected the shape (B, H) = (4, 3), got {np.shape(got)}: the mean runs over T")
    if np.allclose(got, (x * mask[..., None]).mean(1)):
        raise Wrong("divided by T, not by the true length of each text")
    if np.allclose(got, x.mean(1)):
        raise Wrong("the mean of all T places: padding takes part")
    close(got, expected, "the means")
    x[mask == 0] = 1e6
    close(answer(x, mask), expected, "the means, with other numbers in the padding")
    texts = ["Call close.", "Return the value of this key."]
    model = minibert.load()
    out = model(texts)
    alone = np.stack([model(text).last_hidden_state[0].mean(0) for text in texts])
    close(answer(out.last_hidden_state, out.attention_mask), alone, "the means of the bundled model's vectors", 1e-4)


@exercise("(lengths, share)", look="How long is long enough?", level="medium")
def cover(answer: Callable[..., Any]) -> None:
    """The smallest maximal length that leaves at least ``share`` of the texts whole. lengths: whole numbers; share: from 0 to 1.
    Example: cover([3, 9, 5, 4], 0.75) gives 5."""
    rng = np.random.default_rng(4)
    cases = [([3, 9, 5, 4], 0.75), ([3, 9, 5, 4], 1.0), ([3, 9, 5, 4], 0.76), ([7], 0.95), ([2, 2, 2, 50], 0.5)]
    cases += [(rng.geometric(0.05, 200 + i).tolist(), share) for i, share in enumerate((0.5, 0.9, 0.95, 0.99))]
    for lengths, share in cases:
        got = answer(list(lengths), share)
        shown = lengths if len(lengths) < 9 else f"{len(lengths)} lengths, mean {np.mean(lengths):.1f}"
        expect(got is not None and float(got) == int(got),
               f"{shown}, share {share}: expected a whole number, got {got}: lengths are counted, do not interpolate")
        left = np.mean(np.asarray(lengths) <= int(got))
        expect(left >= share, f"{shown}, share {share}: {got} leaves only {left:.1%} of the texts whole")
        less = int(got) - 1
        expect(np.mean(np.asarray(lengths) <= less) < share, f"{shown}, share {share}: {got} is too large, {less} would do")


@exercise(look="Padding to 128, and cutting back", level="medium")
def even_length(answer: float) -> None:
    """In one layer of BERT-base (H = 768, I = 3072), some multiply-adds grow with T, others with T squared. From which number of
    tokens T on do the latter cost as much as the former? A number."""
    base = BertConfig.preset("base", num_hidden_layers=1)
    weights = sum(int(np.prod(shape)) for name, shape in bert.shapes(base).items() if ".layer.0." in name and len(shape) == 2)
    if not isinstance(answer, (int, float, np.number)):
        raise Wrong(f"expected a number, got {type(answer).__name__}")
    if not answer > 0:
        raise Wrong(f"expected a number of tokens, got {answer}")
    linear, square = answer * weights, 2 * answer**2 * base.hidden_size
    if not np.isclose(linear, square, rtol=1e-6):
        raise Wrong(f"at T = {answer} the part with T takes {linear:,.0f} multiply-adds, the part with T squared {square:,.0f}: "
                    "set both parts of the equation equal, and solve for T")
