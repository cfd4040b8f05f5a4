"""Questions about texts: SQuAD's JSON, version 1 or 2; or its questions as a list or JSON Lines, each with its text.

An answer that does not stand where ``answer_start`` says is looked for, and taken where it stands nearest; white space may
differ. One that the text does not have at all counts as right in the scores, but cannot be learned from. ``is_impossible``
outweighs answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from minibert.data import rows
from minibert.files import brief, loads_json

LAYOUT = '{"data": [{"paragraphs": [{"context": …, "qas": [{"id": …, "question": …, "answers": …}]}]}]}'
NOTES = {
    "moved": "with an answer that does not stand where answer_start says; it was looked for elsewhere",
    "unplaced": "with an answer without answer_start; its first place in the text is taken",
    "spaced": "with an answer that differs from the text in white space only; it is taken as it stands there",
    "nowhere": "with an answer that does not stand in the text: it counts as right, but cannot be learned from",
    "placeholder": "with an answer that does not stand in the text, and nor does any other: taken for placeholders, not scored",
    "empty": "with an empty answer, which is taken for none",
    "impossible": "with answers beside is_impossible: taken to have none",
}


class Example(NamedTuple):
    """A question, the text to look in, and all answers that count as right: none where the text has no answer."""

    id: str
    question: str
    context: str
    answers: list[tuple[str, int]] | None  # text, and the character at which it starts, -1 for nowhere; None: not known
    where: str


class Names(NamedTuple):
    """What the fields are called."""

    question: str
    context: str
    answers: str


def read(path: Path, names: Names, labelled: bool | None) -> tuple[list[Example], list[str]]:
    """The questions of a file, and what is to be said about them. ``labelled``: must there be answers? None: they may be missing.
    False: they are not looked for.

    ValueError for an empty question or text, and where no answer stands in its text.
    """
    questions = list(_questions(path, names))
    read = [_example(*question, names, labelled) for question in questions]
    if not read:
        raise ValueError(f"{path} holds no questions; expected SQuAD's JSON: {LAYOUT}")
    examples = [example for example, _ in read]
    if not labelled and all(nowhere(example) or not (example.answers or _is_impossible(qa))
                            for example, (qa, *_) in zip(examples, questions)):
        read = [(example._replace(answers=None), {"placeholder"} if example.answers else set()) for example in examples]
        examples = [example for example, _ in read]  # nothing, or nothing of the text: not known, rather than none anywhere
    answered = [example for example in examples if example.answers]
    if labelled and answered and all(map(nowhere, answered)):
        text, context = answered[0].answers[0][0], answered[0].context
        raise ValueError(f"{answered[0].where}: the answer {text!r} does not occur in the context {context[:60]!r}"
                         f"{' …' if len(context) > 60 else ''}, and so it is with every other answer")
    notes = []
    for kind, what in NOTES.items():
        if some := [example.where for example, kinds in read if kind in kinds]:
            notes.append(f"{len(some):,} {what} (the first: {some[0].removeprefix(f'{path}, ')})")
    repeated = len(examples) - len({example.id for example in examples})
    if repeated:
        notes.append(f"{repeated:,} with the id of another question; each counts here, in an official script only the last does")
    return examples, notes


def nowhere(example: Example) -> bool:
    """Has it answers, and does none of them stand in the text?"""
    return bool(example.answers) and all(start < 0 for _, start in example.answers)


def _questions(path: Path, names: Names) -> Iterator[tuple[dict, Any, str]]:
    """(the question's object, its context, what messages call it)."""
    text = rows.text_of(path)
    try:
        nodes = [(loads_json(text), None)]
    except ValueError:
        if not rows.is_json(path, text):
            raise ValueError(f"{path} is not JSON; expected SQuAD's, or an object with {', '.join(names)} on each line") from None
        table = rows.json_rows(path, text)  # JSON Lines
        nodes = [(row, table.where(i)) for i, row in enumerate(table.rows)]
    count = 0
    for node, line in nodes:
        for qa, context in _within(node, None, names, path):
            count += 1
            yield qa, context, line or f"{path}, question {qa.get('id', count)!r}"


def _within(node: Any, context: Any, names: Names, path: Path) -> Iterator[tuple[dict, Any]]:
    """The questions of a list, or of an article, a paragraph, …; and the context that stands above them, or in them."""
    waiting = [(node, context)]
    while waiting:
        node, context = waiting.pop()
        if isinstance(node, dict):
            context = node.get(names.context, context)
            inner = next((node[key] for key in ("data", "paragraphs", "qas") if isinstance(node.get(key), list)), None)
            if inner is None:
                yield node, context
                continue
            node = inner
        if not isinstance(node, list):
            raise ValueError(f"{path} is not laid out like SQuAD: found {type(node).__name__} where an object should be; "
                             f"expected {LAYOUT}")
        waiting += [(child, context) for child in reversed(node)]


def _example(qa: dict, context: Any, where: str, names: Names, labelled: bool | None) -> tuple[Example, set[str]]:
    """The example, and which of ``NOTES`` are true of it."""
    question = qa.get(names.question)
    for name, value in ((names.question, question), (names.context, context)):
        if value is None:
            raise ValueError(f"{where}: not laid out like SQuAD, it has no {name!r} but {', '.join(map(str, qa)) or 'nothing'}; "
                             f"expected {LAYOUT}, or fields of other names that are given: --text (context), --pair (question), "
                             "--label (answers)")
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{where}: the {name} is empty")
    given = None if labelled is False else rows.judged(labelled, _given, qa, names.answers, where)
    if labelled is None and given and all(text.strip() in rows.MARKS for text, _ in given):
        given = None  # ?: placeholders
    if _is_impossible(qa):
        return Example(str(qa.get("id", where)), question, context, [], where), {"impossible"} if given else set()
    if given is None:
        if labelled:
            raise ValueError(f"{where}: there are no answers, it has no {names.answers!r} but {', '.join(map(str, qa))}; "
                             "expected a list, an empty one for a question without an answer")
        return Example(str(qa.get("id", where)), question, context, None, where), set()
    placed = [_place(text, start, context) for text, start in given if text.strip()]
    kinds = {kind for _, _, kind in placed} | ({"empty"} if len(placed) < len(given) else set())
    return Example(str(qa.get("id", where)), question, context, [(text, start) for text, start, _ in placed], where), kinds


def _is_impossible(qa: dict) -> bool:
    return str(qa.get("is_impossible")).lower() in ("true", "1")


def _given(qa: dict, name: str, where: str) -> list[tuple[str, int | None]] | None:
    """The answers as the file has them: (text, where it should start). Objects, texts, or one object with two lists."""
    given = qa.get(name)
    if given is None:
        return None
    try:
        if isinstance(given, dict) and isinstance(given["text"], list):
            starts = given.get("answer_start") or []
            given = [{"text": text, "answer_start": start} for text, start in zip_longest(given["text"], starts)]
        given = [given] if isinstance(given, (dict, str)) else given
        given = [{"text": answer} if isinstance(answer, str) else answer for answer in given]
        answers = [(a["text"], None if a.get("answer_start") is None else int(a["answer_start"])) for a in given]
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ValueError(f"{where}: an answer must have text and answer_start ({type(error).__name__}: {error})") from None
    for text, _ in answers:
        if not isinstance(text, str):
            raise ValueError(f"{where}: an answer must have text and answer_start (its text is no string but {brief(text)})")
    return answers


def _place(text: str, start: int | None, context: str) -> tuple[str, int, str]:
    """An answer as the context has it, where it starts there (-1: nowhere), and which of ``NOTES`` is true of it, or ""."""
    if start is not None and start >= 0 and context.startswith(text, start):
        return text, start, ""
    places = [match.start() for match in re.finditer(f"(?={re.escape(text)})", context)]
    if places:
        return text, min(places, key=lambda i: abs(i - (start or 0))), "unplaced" if start is None else "moved"
    spaced = r"\s*".join(map(re.escape, "".join(text.split())))
    found = min(re.finditer(spaced, context), key=lambda match: abs(match.start() - (start or 0)), default=None)
    return (found[0], found.start(), "spaced") if found else (text, -1, "nowhere")
