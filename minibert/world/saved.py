"""A world as a folder: text to train on, gold, and files for every task."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from minibert.files import write_atomically, writing
from minibert.processes import MOST, mapping, without_collector
from minibert.world import task_files
from minibert.world.documents import AT_ONCE, batch
from minibert.world.language import Language
from minibert.world.maker import NONE, Flaws
from minibert.world.printed import printed
from minibert.world.seen import MASK, SEP
from minibert.world.world import World

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", SEP, MASK)
VERSION = 1
SHARE = 100_000  # words that are worth a process of their own


def save(world: World, folder: str | os.PathLike[str], tokens: int, seed: int = 0, flaws: Flaws = NONE,
         progress: Callable[[int, int], None] = lambda done, total: None, processes: int = 1) -> dict[str, str]:
    """Write everything into a new folder, the same for any number of processes. What each file is, by its name there.

    Raises FileExistsError for a folder that is there already and has something in it, RuntimeError where a process is ended from
    outside.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already, and not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    done, sentences, documents = sampled(world, folder, tokens, seed, progress, processes)
    write_atomically(folder / "vocab.txt", "".join(f"{word}\n" for word in (*SPECIAL, *world.words)))
    for name, content in task_files.files(world.language, seed, flaws):
        (folder / "tasks" / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "tasks" / name, content)
    about = {"version": VERSION, "settings": vars(world.settings), "seed": seed, "flaws": flaws._asdict(), "tokens": done,
             "sentences": sentences, "documents": documents, "words": len(world.words), "topics": world.language.lexicon.topics,
             "unreachable": world.language.grammar.unreachable}
    write_atomically(folder / "world.json", json.dumps(about, indent=1) + "\n")
    return {"text.txt": f"{done:,} words, {sentences:,} sentences, {documents:,} documents", "vocab.txt": "all of its words",
            "gold.conllu": "what is known of every word", "gold.jsonl": "the same, a document a line", "world.json": "its dials",
            "tasks": ", ".join([*task_files.TASKS, "bias", "names", "constructions"])}


def sampled(world: World, folder: Path, tokens: int, seed: int = 0,
            progress: Callable[[int, int], None] = lambda done, total: None, processes: int = 1) -> tuple[int, int, int]:
    """Write text and gold into a folder. How many words, sentences and documents these are."""
    writer = Writer(world.language, seed)
    done = sentences = documents = 0
    processes = min(processes, max(1, tokens // SHARE), MOST)
    with ExitStack() as stack:
        stack.enter_context(without_collector())
        mapped = stack.enter_context(mapping(writer, processes, "that writes documents",
                                             "nothing was kept; --workers 1 takes less memory", collector=False))
        files = [stack.enter_context(writing(folder / name)) for name in ("text.txt", "gold.conllu", "gold.jsonl")]
        first = writer(0)
        length = sum(document.words for document in first) / sum(document.sentences for document in first)
        many = max(1, round(tokens * (1 - world.language.stay) / (AT_ONCE * length)))  # batches; what then lacks is made here
        for document in chain.from_iterable(chain([first], mapped(range(1, many)), map(writer, count(many)))):
            if done >= tokens:
                break
            documents += 1
            sentences += document.sentences
            done += document.words
            for file, content in zip(files, document.contents):
                file.write(content)
            progress(min(done, tokens), tokens)
    return done, sentences, documents


class Written(NamedTuple):
    """A document as it stands in the files."""

    words: int
    sentences: int
    contents: list[bytes]  # text, CoNLL-U, JSON


class Writer(NamedTuple):
    """Draws and writes batches of documents, each for itself, in whatever process."""

    language: Language
    seed: int

    def __call__(self, number: int) -> list[Written]:
        return [Written(sum(len(sentence.lexemes) for sentence in document.sentences), len(document.sentences),
                        [form.encode() for form in printed(self.language, i, document)])
                for i, document in enumerate(batch(self.language, self.seed, number), start=number * AT_ONCE + 1)]
