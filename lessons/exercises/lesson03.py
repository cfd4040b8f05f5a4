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


@exercise("(a, b, cls_id, sep_id, pad_id, length)", look="The rule as an equation")
def features(answer: Callable[..., Any]) -> None:
    """Three lists (ids, token_type_ids, attention_mask), each of ``length`` numbers, for a text with the ids a, or a pair with
    the ids a and b. b is None where there is only one text.
    Example: features([7, 8], None, 2, 3, 0, 5) gives ([2, 7, 8, 3, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 0])."""
    letters = list("abcdefgh")
    toy = Tokenizer(Vocabulary([*letters[:3], *SPECIAL, *letters[3:]]))  # [PAD] is not 0, and 0 is a word
    v = toy.vocab
    for a, b, length in [("b d", None, 6), ("a b", None, 4), ("c", "a e f", 9), ("a b c d", "g", 8), ("h", "", 5)]:
        encoding = toy.encode(a, b)
        expected = [row[0].tolist() for row in toy.batch([encoding], length)]
        what = f"a = {toy.ids(a)}, b = {None if b is None else toy.ids(b)}, cls_id 3, sep_id 4, pad_id 5, length {length}"
        got = answer(toy.ids(a), None if b is None else toy.ids(b), v.cls_id, v.sep_id, v.pad_id, length)
        if not isinstance(got, (tuple, list)) or len(got) != 3:
            raise Wrong(f"{what}: expected three lists, got {got!r}")
        for name, mine, right in zip(("ids", "token_type_ids", "attention_mask"), got, expected):
            mine = [int(n) for n in mine]
            if mine != right:
                raise Wrong(f"{what}: {name} should be {right}, got {mine}; {_hint(name, mine, right, encoding)}")


def _hint(name: str, got: list[int], right: list[int], encoding: Any) -> str:
    n = len(encoding)
    if len(got) != len(right):
        return f"all three have `length` = {len(right)} numbers"
    if name == "ids":
        return "the order is [CLS] a [SEP], then b [SEP] where there is a b (also an empty one), then [PAD]"
    if name == "attention_mask":
        return "1 for each of the tokens, the special ones too, and 0 for padding; 0 may be the id of a word"
    if any(got[n:]):
        return "padding has type 0"
    return "[CLS], a and the first [SEP] have type 0; b and its [SEP] have type 1"


@exercise("(a, b, room)", look="Too long: truncation")
def truncate_pair(answer: Callable[..., Any]) -> None:
    """Two lists, a and b without some of their last tokens, so that both together have at most ``room`` tokens: the longer one
    loses its last token, again and again; where both are equally long, b does. The lists that came in stay as they are.
    Example: truncate_pair([1, 2, 3, 4], [5, 6], 4) gives ([1, 2], [5, 6])."""
    words = [chr(ord("a") + i) for i in range(20)]
    toy = Tokenizer(Vocabulary([*SPECIAL, *words]))
    for m, k, room, hint in [(4, 2, 6, "what fits is not cut"), (4, 2, 4, "only the longer one loses tokens here"),
                             (2, 7, 5, "b may be the longer one"), (3, 3, 5, "where both are equally long, b loses one"),
                             (9, 4, 7, "go on with whichever is longer *now*, not at the beginning"),
                             (6, 6, 1, "both lose, in turn"), (5, 0, 2, "an empty b has nothing to lose")]:
        a, b = toy.ids(" ".join(words[:m])), toy.ids(" ".join(words[m:m + k]))
        encoding = toy.encode(" ".join(words[:m]), " ".join(words[m:m + k]), max_length=room + 3, truncate=True)
        split = encoding.ids.index(toy.vocab.sep_id)
        expected = encoding.ids[1:split], encoding.ids[split + 1:-1]
        given = list(a), list(b)
        got = answer(*given, room)
        expect(given == (a, b), "the lists that came in were changed; begin with copies")
        if [list(part) for part in got] != [list(part) for part in expected]:
            raise Wrong(f"a = {a}, b = {b}, room {room}: expected {expected}, got {tuple(got)}; {hint}")


@exercise("(x, attention_mask)", look="Keep the true length")
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


@exercise("(lengths, share)", look="How long is long enough?")
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


@exercise(look="Padding to 128, and cutting back")
def even_length(answer: float) -> None:
    """In one layer of BERT-base (H = 768, I = 3072), some multiply-adds grow with T, others with T squared. From which number of
    tokens T on do the latter cost as much as the former? A number."""
    base = BertConfig.preset("base", num_hidden_layers=1)
    weights = sum(int(np.prod(shape)) for name, shape in bert.shapes(base).items() if ".layer.0." in name and len(shape) == 2)
    if not isinstance(answer, (int, float, np.number)):
        raise Wrong(f"expected a number, got {type(answer).__name__}")
    linear, square = answer * weights, 2 * answer**2 * base.hidden_size
    if not np.isclose(linear, square, rtol=1e-6):
        raise Wrong(f"at T = {answer} the part with T takes {linear:,.0f} multiply-adds, the part with T squared {square:,.0f}: "
                    "set both parts of the equation equal, and solve for T")
