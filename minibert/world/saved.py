"""A world as a folder: text to train on, gold, and files for every task."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from minibert.files import write_atomically, writing
from minibert.world import gold, task_files
from minibert.world.maker import NONE, Flaws
from minibert.world.seen import MASK, SEP
from minibert.world.world import World

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", SEP, MASK)
VERSION = 1


def save(world: World, folder: str | os.PathLike[str], tokens: int, seed: int = 0, flaws: Flaws = NONE,
         progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, str]:
    """Write everything into a new folder. What each file is, by its name there.

    Raises FileExistsError for a folder that is there already and has something in it.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already, and not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    done, sentences, documents = sampled(world, folder, tokens, seed, progress)
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
            progress: Callable[[int, int], None] = lambda done, total: None) -> tuple[int, int, int]:
    """Write text and gold into a folder. How many words, sentences and documents these are."""
    documents = sentences = done = 0
    with ExitStack() as stack, _no_collection():
        text, conllu, lines = (stack.enter_context(writing(folder / name)) for name in ("text.txt", "gold.conllu", "gold.jsonl"))
        for document in world.documents(tokens, seed):
            documents += 1
            sentences += len(document.sentences)
            done += sum(len(sentence.lexemes) for sentence in document.sentences)
            text.write(("\n".join(world.sentences(document)) + "\n\n").encode())
            conllu.write(gold.conllu(world.language, documents, document).encode())
            lines.write(gold.json_line(world.language, documents, document).encode())
            progress(min(done, tokens), tokens)
    return done, sentences, documents


@contextmanager
def _no_collection() -> Iterator[None]:
    """No search for circular garbage: here is none, and to look through all that is kept takes a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
