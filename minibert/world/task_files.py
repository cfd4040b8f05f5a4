"""Files for every task of ``finetune``, with splits, and with wrong labels in ``train`` where these are asked for.

The words, topics and structures of ``train``, ``dev`` and ``test`` are the same; ``new_words`` has words that these never have,
``new_structures`` relative clauses, ``out_of_domain`` other topics.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from minibert.world import gold, noise, tasks
from minibert.world.documents import documents
from minibert.world.language import Language
from minibert.world.maker import NONE, Flaws, Maker, far, is_new

SPLITS = {"train": 2000, "dev": 300, "test": 300, "new_words": 300, "new_structures": 300, "out_of_domain": 300}
_TRIES = 20  # to make an example that there is not yet
_TAGS = ("O", "B-PER", "B-LOC")
_LABELS = {"negation": ("not", "no", "nobody"), "question": ("ask",), "condition": ("if",), "coordination": ("and",),
           "comparison": ("than",), "reflexive": ("refl.same", "refl.other", "refl.neut", "refl.many")}  # -> classes that show it


def templates(language: Language) -> dict[str, list[tasks.Row]]:
    """Split -> a sentence with a man's and with a woman's pronoun for everybody's work, with the true share of men in it.

    They measure what a model learned elsewhere. There is no right answer to train on, so ``train`` and ``dev`` are not among the
    splits, and ``test`` has all works whose word and topic are not new.
    """
    lexicon = language.lexicon
    men, all_, near = Counter(), Counter(), set()
    for i in lexicon.members["noun.same"]:
        lexeme, weight = lexicon.lexemes[i], lexicon.weight[i].sum(1)
        all_[lexeme.lemma] += (share := float(weight.sum()))
        men[lexeme.lemma] += share * (lexeme.gender == "Masc")
        if weight[:len(weight) - far(lexicon)].any():
            near.add(lexeme.lemma)
    verb, thing = (lexicon.lexemes[lexicon.members[category][-1]].form for category in ("vt.sg", "noun.neut"))

    def made(works: Sequence[str], clause: str = "") -> list[tasks.Row]:
        return [{"man": f"the {work}{clause} {verb} himself .", "woman": f"the {work}{clause} {verb} herself .", "work": work,
                 "men": f"{men[work] / all_[work]:.3f}"} for work in works]

    works = [work for work, share in all_.items() if 0 < men[work] < share]
    known = [work for work in works if work in near and not is_new(work)]
    found = {"test": made(known), "new_words": made([work for work in works if work in near and is_new(work)]),
             "new_structures": made(known, f" that {verb} the {thing}"),
             "out_of_domain": made([work for work in works if work not in near and not is_new(work)])}
    return {split: these for split, these in found.items() if these and split not in _lacking(language)}


def sampled(language: Language, seed: int) -> Iterator[tuple[str, list[str], list[str], tasks.Row]]:
    """Sentences of documents: in which split each belongs, its words, their tags as names, and which constructions it has."""
    near = len(language.lexicon.topics) - far(language.lexicon)
    for document in documents(language, 10**12, seed):
        for sentence, words in zip(document.sentences, gold.gold(language, document)):
            news = [any(is_new(lemma) for lemma, upos in zip(words.lemma, words.upos) if upos in ("NOUN", "VERB", "ADJ")),
                    max(words.depth) > 0, document.topic >= near]
            if sum(news) < 2:
                where = ("new_words", "new_structures", "out_of_domain")[news.index(True)] if any(news) else "train"
                tags = ["B-PER" if c.startswith("name") else "B-LOC" if c == "place" else "O" for c in words.category]
                labels = [label for label, classes in _LABELS.items() if not set(classes).isdisjoint(words.category)]
                yield where, words.form, tags, {"text": gold.text(language, sentence), "label": "|".join(labels)}


def _tsv(rows: Sequence[tasks.Row]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in (rows[0].keys(), *(row.values() for row in rows)))


def _json_lines(rows: Sequence[tasks.Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _squad(rows: Sequence[tasks.Row]) -> str:
    for number, row in enumerate(rows):
        row["qas"][0]["id"] = str(number)
    return json.dumps({"version": "v2.0", "data": [{"title": "world", "paragraphs": rows}]})


#: name -> what makes a row, the ending of its files, how rows are written.
TASKS: dict[str, tuple[Callable[[Maker], tasks.Row], str, Callable[[Sequence[tasks.Row]], str]]] = {
    "sentiment": (tasks.sentiment, "tsv", _tsv), "nli": (tasks.inference, "tsv", _tsv), "qa": (tasks.question, "json", _squad),
    "choice": (tasks.choice, "jsonl", _json_lines), "similarity": (tasks.similarity, "tsv", _tsv),
    "pairs": (tasks.pair, "tsv", _tsv),
}

#: name -> what makes a label wrong: of a row, of a word for ``names``.
WRONG: dict[str, Callable[[Any, np.random.Generator], Any]] = {
    "sentiment": noise.column("label", tasks.SENTIMENT), "nli": noise.column("label", tasks.INFERENCE), "qa": noise.answer,
    "choice": noise.column("label", range(4)), "similarity": noise.column("score", tasks.SCORES), "pairs": noise.order,
    "names": partial(noise.other, _TAGS), "constructions": noise.one_of_many([*_LABELS]),
}
_NOISE = 1 << 20  # behind the numbers of the splits' generators


def noisy(name: str, split: str, labelled: Sequence[Any], seed: int, share: float) -> Sequence[Any]:
    """The labelled rows, or tags, of a split; of ``train`` each is wrong by the chance ``share``."""
    rng = np.random.Generator(np.random.Philox(key=(seed, _NOISE + list(WRONG).index(name))))
    return [WRONG[name](one, rng) if rng.random() < share else one for one in labelled] if split == "train" else labelled


def rows(language: Language, name: str, split: str, n: int, seed: int = 0, flaws: Flaws = NONE, made: Set[str] = frozenset()
         ) -> list[tasks.Row]:
    """n rows of a task, none of which is in ``made`` (as JSON), as far as the language has so many."""
    if len(language.lexicon.names) < 4:
        raise ValueError(f"tasks need four names, and this world has {len(language.lexicon.names)}: give it more (names)")
    rng = np.random.Generator(np.random.Philox(key=(seed, list(TASKS).index(name) * len(SPLITS) + list(SPLITS).index(split))))
    make = TASKS[name][0]
    found = []
    for _ in range(n):
        for _ in range(_TRIES):
            row = make(Maker(language, rng, split, flaws))
            if json.dumps(row) not in made:
                break
        found.append(row)
    return [*noisy(name, split, found, seed, flaws.noise)]


def files(language: Language, seed: int = 0, flaws: Flaws = NONE, share: float = 1.0) -> Iterator[tuple[str, str]]:
    """Path below a folder, and content, of every file of every task. share: of the numbers of examples in SPLITS."""
    sizes = {split: max(1, round(share * n)) for split, n in SPLITS.items()}
    for name, (_, ending, written) in TASKS.items():
        made: set[str] = set()
        for split, n in sizes.items():
            found = rows(language, name, split, n, seed, flaws._replace(noise=0.0), made)
            made.update(map(json.dumps, found))
            yield f"{name}/{split}.{ending}", written(noisy(name, split, found, seed, flaws.noise))
    for split, found in templates(language).items():
        yield f"bias/{split}.tsv", _tsv(found)
    yield from _sampled_files(language, seed, {split: n for split, n in sizes.items() if split not in _lacking(language)},
                              flaws.noise)


def _lacking(language: Language) -> list[str]:
    """The splits that a language has no sentences for: new structures without relative clauses, out of domain with one topic."""
    return (["new_structures"] * (not any(symbol.startswith("rc.") for symbol in language.grammar.of))
            + ["out_of_domain"] * (not far(language.lexicon)))


def _sampled_files(language: Language, seed: int, sizes: dict[str, int], share: float) -> Iterator[tuple[str, str]]:
    """Names (a word and its tag on each line), and constructions (several labels for a text). share: of wrong labels."""
    kept: dict[str, list] = {split: [] for split in sizes}
    within = iter(split for split in ("train", "dev", "test") for _ in range(sizes[split]))
    seen = set()
    for where, words, tags, row in sampled(language, seed):
        split = next(within, None) if where == "train" and row["text"] not in seen else where
        if split in kept and len(kept[split]) < sizes[split] and row["text"] not in seen:
            kept[split].append((words, tags, row))
        seen.add(row["text"])
        if all(len(kept[split]) == n for split, n in sizes.items()):
            break
    for split, found in kept.items():
        sentences, tags, labelled = zip(*found)
        tag = iter(noisy("names", split, [*chain(*tags)], seed, share))
        yield f"names/{split}.conll", "\n".join("".join(f"{word} {next(tag)}\n" for word in words) for words in sentences)
        yield f"constructions/{split}.tsv", _tsv(noisy("constructions", split, labelled, seed, share))
