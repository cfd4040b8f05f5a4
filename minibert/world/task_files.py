"""Files for every task of ``finetune``, with splits.

The words, topics and structures of ``train``, ``dev`` and ``test`` are the same; ``new_words`` has words that these never have,
``new_structures`` relative clauses, ``out_of_domain`` other topics.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set

import numpy as np

from minibert.world import gold, tasks
from minibert.world.documents import documents
from minibert.world.language import Language
from minibert.world.maker import NONE, Flaws, Maker, is_new

SPLITS = {"train": 2000, "dev": 300, "test": 300, "new_words": 300, "new_structures": 300, "out_of_domain": 300}
_TRIES = 20  # to make an example that there is not yet
_LABELS = {"negation": ("not", "no", "nobody"), "question": ("ask",), "condition": ("if",), "coordination": ("and",),
           "comparison": ("than",), "reflexive": ("refl.same", "refl.other", "refl.neut", "refl.many")}  # -> classes that show it


def templates(language: Language) -> list[tasks.Row]:
    """A sentence with a man's and with a woman's pronoun for everybody's work, with the true share of men in it."""
    lexicon = language.lexicon
    men, all_ = Counter(), Counter()
    for i in lexicon.members["noun.same"]:
        lexeme, share = lexicon.lexemes[i], float(lexicon.weight[i].sum())
        all_[lexeme.lemma] += share
        men[lexeme.lemma] += share * (lexeme.gender == "Masc")
    verb = lexicon.lexemes[lexicon.members["vt.sg"][-1]].form
    return [{"man": f"the {work} {verb} himself .", "woman": f"the {work} {verb} herself .", "work": work,
             "men": f"{men[work] / share:.3f}"} for work, share in all_.items() if 0 < men[work] < share]


def sampled(language: Language, seed: int) -> Iterator[tuple[str, list[str], list[str], tasks.Row]]:
    """Sentences of documents: in which split each belongs, its words, their tags as names, and which constructions it has."""
    topics = len(language.lexicon.topics)
    for document in documents(language, 10**12, seed):
        for sentence, words in zip(document.sentences, gold.gold(language, document)):
            news = [any(is_new(lemma) for lemma, upos in zip(words.lemma, words.upos) if upos in ("NOUN", "VERB", "ADJ")),
                    max(words.depth) > 0, topics > 1 and document.topic >= topics - max(1, topics // 4)]
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


#: name -> what makes a row, the ending of its files, how rows are written, where the label stands (for noise).
TASKS: dict[str, tuple[Callable[[Maker], tasks.Row], str, Callable[[Sequence[tasks.Row]], str], str]] = {
    "sentiment": (tasks.sentiment, "tsv", _tsv, "label"), "nli": (tasks.inference, "tsv", _tsv, "label"),
    "qa": (tasks.question, "json", _squad, ""),
    "choice": (tasks.choice, "jsonl", _json_lines, "label"), "similarity": (tasks.similarity, "tsv", _tsv, "score"),
    "pairs": (tasks.pair, "tsv", _tsv, ""),
}


def rows(language: Language, name: str, split: str, n: int, seed: int = 0, flaws: Flaws = NONE, made: Set[str] = frozenset()
         ) -> list[tasks.Row]:
    """n rows of a task, none of which is in ``made`` (as JSON), as far as the language has so many."""
    if len(language.lexicon.names) < 4:
        raise ValueError(f"tasks need four names, and this world has {len(language.lexicon.names)}: give it more (names)")
    rng = np.random.Generator(np.random.Philox(key=(seed, list(TASKS).index(name) * len(SPLITS) + list(SPLITS).index(split))))
    make, _, _, label = TASKS[name]
    found = []
    for _ in range(n):
        for _ in range(_TRIES):
            row = make(Maker(language, rng, split, flaws))
            if json.dumps(row) not in made:
                break
        found.append(row)
    if label and split == "train":
        labels = [row[label] for row in found]
        for row, wrong, other in zip(found, rng.random(n) < flaws.noise, rng.permutation(n)):
            row[label] = labels[other] if wrong else row[label]
    return found


def files(language: Language, seed: int = 0, flaws: Flaws = NONE, share: float = 1.0) -> Iterator[tuple[str, str]]:
    """Path below a folder, and content, of every file of every task. share: of the numbers of examples in SPLITS."""
    sizes = {split: max(1, round(share * n)) for split, n in SPLITS.items()}
    for name, (_, ending, written, _) in TASKS.items():
        made: set[str] = set()
        for split, n in sizes.items():
            found = rows(language, name, split, n, seed, flaws, made)
            made.update(map(json.dumps, found))
            yield f"{name}/{split}.{ending}", written(found)
    yield "bias/templates.tsv", _tsv(templates(language))
    yield from _sampled_files(language, seed, sizes)


def _sampled_files(language: Language, seed: int, sizes: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Names (a word and its tag on each line), and constructions (several labels for a text). Without the splits that a language
    has no sentences for: new structures without relative clauses, out of domain with one topic."""
    without = ("new_structures",) * (not any(symbol.startswith("rc.") for symbol in language.grammar.of))
    without += ("out_of_domain",) * (len(language.lexicon.topics) == 1)
    sizes = {split: n for split, n in sizes.items() if split not in without}
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
        yield f"names/{split}.conll", "\n".join("".join(f"{word} {tag}\n" for word, tag in zip(words, tags))
                                                for words, tags, _ in found)
        yield f"constructions/{split}.tsv", _tsv([row for *_, row in found])
