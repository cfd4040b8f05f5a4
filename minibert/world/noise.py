"""Wrong labels, on purpose: symmetric noise.

Each label of a file to train on is, by the same chance p and whatever it is, another one, drawn evenly from the others. Of n
labels so many are wrong: Binomial(n, p). What is wrong in a file depends on what its label is; here is a function for each kind,
from an example and a generator to the example with a wrong label.
Source: symmetric label noise as in Angluin and Laird 1988, "Learning From Noisy Examples", Machine Learning 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]


def other(labels: Sequence[Any], label: Any, rng: np.random.Generator) -> Any:
    """One of the labels, and not this one."""
    others = [one for one in labels if one != label]
    return others[rng.integers(len(others))]


def column(name: str, labels: Sequence[Any]) -> Callable[[Row, np.random.Generator], Row]:
    """Of rows whose label stands in a column: another of the labels."""
    return lambda row, rng: {**row, name: other(labels, row[name], rng)}


def answer(row: Row, rng: np.random.Generator) -> Row:
    """Of a question: the name of somebody else in the passage, with the sentence that it stands in; where nobody is right, of
    anybody."""
    asked, context = row["qas"][0], row["context"]
    owners = {sentence.partition(" has ")[0]: i for i, sentence in enumerate(context.split(" . ")) if " has " in sentence}
    name = other([*owners], asked["answers"][0]["text"] if asked["answers"] else None, rng)
    return {**row, "qas": [{**asked, "answers": [{"text": name, "answer_start": context.index(f"{name} has")}],
                            "is_impossible": False, "supporting": [owners[name]]}]}


def order(row: Row, rng: np.random.Generator) -> Row:
    """Of a pair: the good one and the bad one exchanged."""
    return {**row, "good": row["bad"], "bad": row["good"]}


def one_of_many(labels: Sequence[str]) -> Callable[[Row, np.random.Generator], Row]:
    """Of a text with several labels: one too many, or one too few."""
    def wrong(row: Row, rng: np.random.Generator) -> Row:
        said = {*row["label"].split("|")} ^ {labels[rng.integers(len(labels))]}
        return {**row, "label": "|".join(label for label in labels if label in said)}
    return wrong
