"""What the command line shows: the guesses behind a [MASK], the tokens of a text."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from minibert import scoring
from minibert.text import Reading
from minibert.text.reading import as_words

if TYPE_CHECKING:
    from minibert.api import Bert
    from minibert.scoring import Pairs, Score
    from minibert.search import Match
    from minibert.text import Tokenizer

BAR = 20  # characters of the longest bar


def guesses(bert: Bert, text: str, top: int = 5, truncate: bool = False, width: int = 80, block: str = "█",
            literal: bool = False) -> str:
    """A table for each [MASK] of ``text``: probability, bar, word, and the text with the word in its place.

    ``width``: columns of the terminal; ``block``: the character that bars are made of. Raises what ``Bert.fill_mask`` raises.
    """
    if literal:
        text = as_words(bert.tokenizer.vocab, text, bert.tokenizer.vocab.mask_id)
    answers = bert.fill_mask(text, top, truncate=truncate)
    encoding = bert.tokenizer.encode(text, max_length=bert.max_length, truncate=truncate)
    spans = [span for number, span in zip(encoding.ids, encoding.offsets) if number == bert.tokenizer.vocab.mask_id]
    several = len(spans) > 1
    lines = []
    for i, (span, answer) in enumerate(zip(spans, answers if several else [answers]), start=1):
        if several:
            lines.append(f"[MASK] {i} of {len(spans)}")
        longest = max(_width(word) for word, _ in answer)
        for word, probability in answer:
            bar = block * max(1, round(BAR * probability / answer[0][1]))
            start = f"  {probability:6.1%}  {bar:<{BAR}}  {word}{' ' * (longest - _width(word))}  "
            sentence, place = filled(text, [span], [word])
            lines.append(start + _clipped(sentence, place, width - _width(start)))
        lines.append("")
    if several:
        best, _ = filled(text, spans, [answer[0][0] for answer in answers])
        lines += [f"with the first guess for each:  {best}", ""]
    return "\n".join(lines)


def filled(text: str, spans: Sequence[tuple[int, int]], words: Sequence[str]) -> tuple[str, int]:
    """``text`` with ``words`` in the places ``spans``, and where the first one begins; ``##ing`` joins the word before it."""
    for (start, end), word in reversed(list(zip(spans, words))):
        before = text[:start].rstrip() if word.startswith("##") else text[:start]
        text = before + word.removeprefix("##") + text[end:]
    return text, len(before)


def tokens(tokenizer: Tokenizer, text: str, pair: str | None = None, ids: bool = False, offsets: bool = False,
           literal: bool = False) -> str:
    """A table of the tokens of ``text``: token, id, segment, and with ``offsets`` its place; or, with ``ids``, the ids alone."""
    encoding = tokenizer.encode(text, pair, max_length=sys.maxsize, special_tokens=not literal)
    if ids:
        return " ".join(map(str, encoding.ids))
    wide = max(8, *(_width(token) for token in encoding.tokens))
    lines = [f"{'token':<{wide}}  {'id':>6}  segment" + ("   place        in the text" if offsets else "")]
    for token, number, kind, (start, end), added in zip(encoding.tokens, encoding.ids, encoding.token_type_ids, encoding.offsets,
                                                        encoding.special_tokens_mask):
        line = f"{token}{' ' * (wide - _width(token))}  {number:>6}  {kind:>7}"
        if offsets and not added:
            source = (text, pair)[kind]
            line += f"   {f'{start}:{end}':<10}   {source[start:end]}"
        lines.append(line)
    reading = Reading.of(tokenizer.vocab, [text, pair or ""], [encoding.ids], literal)
    summary = f"{len(encoding)} tokens"
    if reading.unknown:
        summary += f", {reading.unknown} of them unknown ({reading.share:.1%} of the text)"
    if reading.special:
        summary += f", special tokens in the text: {reading.special}" + ", read as words" * literal
    if len(encoding) > tokenizer.max_length:
        summary += f": more than the {tokenizer.max_length} that the model reads at a time"
    return "\n".join([*lines, summary, ""])


def scores(texts: Sequence[str], found: Sequence[Score], tokens: bool = False) -> tuple[str, str]:
    """A tab-separated table of texts and their scores, and a line about all of them. ``tokens``: what each token adds."""
    lines = ["\t".join(["score", "tokens", "text", *["by token"] * tokens])]
    lines += ["\t".join([f"{one.total:.4f}", str(len(one.tokens)), _in_a_cell(text), *[_by_token(one)] * tokens])
              for text, one in zip(texts, found)]
    count = sum(len(one.tokens) for one in found)
    about = f"{len(found):,} texts, {count:,} tokens" + (f", pseudo-perplexity {scoring.perplexity(found):.2f}" if count else "")
    return "\n".join(lines) + "\n", about


def pairs(given: Pairs, first: Sequence[Score], second: Sequence[Score], tokens: bool = False) -> tuple[str, str]:
    """The same of minimal pairs, and their accuracy."""
    head = ["first", "second", "right", "first text", "second text", *["first by token", "second by token"] * tokens]
    lines = ["\t".join(head)]
    for one, two, a, b in zip(given.first, given.second, first, second):
        cells = [f"{a.total:.4f}", f"{b.total:.4f}", str(int(a.total > b.total)), _in_a_cell(one), _in_a_cell(two)]
        lines.append("\t".join([*cells, *[_by_token(a), _by_token(b)] * tokens]))
    right = sum(a.total > b.total for a, b in zip(first, second))
    ties = sum(a.total == b.total for a, b in zip(first, second))
    about = f"accuracy {right / len(first):.1%}: the first text has the higher score in {right:,} of {len(first):,} pairs"
    return "\n".join(lines) + "\n", about + (f", and both have the same in {ties:,}" if ties else "")


def _by_token(one: Score) -> str:
    return " ".join(f"{_in_a_cell(token)} {x:.4f}" for token, x in zip(one.tokens, one.log_probs))


def _in_a_cell(text: str) -> str:
    return " ".join(text.split())


def matches(found: Sequence[Match], width: int = 80) -> str:
    """The lines that a search found: rank, score, number of the line, the line."""
    digits = max(len(f"{match.number:,}") for match in found)
    lines = [f"{'rank':>4}  {'score':>5}  {'line':>{max(4, digits)}}"]
    for rank, match in enumerate(found, start=1):
        start = f"{rank:>4}  {match.score:5.3f}  {match.number:>{max(4, digits)},}  "
        lines.append(start + _clipped(match.line.strip(), 0, width - len(start)))
    return "\n".join([*lines, ""])


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two, combining accents none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _clipped(text: str, place: int, room: int) -> str:
    """As much of one line around ``place`` as fits into ``room`` columns."""
    text = "".join(c if c.isprintable() else " " for c in text)
    if _width(text) <= room:
        return text
    start = max(0, place - room // 3)
    head = "…" if start else ""
    text = text[start:]
    while text and _width(head + text) > room - 1:
        text = text[:-1]
    return f"{head}{text}…"
