"""Texts into shards of tokens: ``minibert prepare``, and what ``train`` does by itself with a large text.

::

    the files -> a vocabulary, learned from a sample of them -> shards, on all cores -> the manifest, and a report
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from minibert.data import python_docs
from minibert.data.corpora import WORLDS, documents_of
from minibert.data.report import report_of
from minibert.data.tokens import making, shard, sources
from minibert.data.tokens.manifest import FILE, Manifest
from minibert.files import brief, read_json, standard_input, write_atomically
from minibert.processes import MOST
from minibert.ranks import ALONE, Ranks
from minibert.shell import command
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL
from minibert.training.options import Settings
from minibert.training.runs import Say, new_folder
from minibert.training.vocabularies import layout_of, tokenizer_of
from minibert.workers import available_cores

SAMPLE = 8 << 20  # bytes of text, at most, from which a vocabulary is learned
SHARE = 8 << 20  # bytes of text that are worth a process of their own
ASKED = "asked.json"  # beside the shards: how the tokenizer was asked for
OF_TOKENIZER = ("vocab", "vocab_size", "cased", "cut", "family")  # settings


def run(args: argparse.Namespace, settings: Settings, ranks: Ranks = ALONE) -> int:
    """Do what the arguments of ``prepare`` ask for, where its files are to be shards. The exit code: 130 interrupted."""
    out = Path(args.out)
    if ranks.size > 1 and "python-docs" in settings.corpus:
        raise ValueError("python-docs is one small text, which one process cuts: start it without mpiexec, or name other texts")
    ranks.at_first(lambda: begun(out) or new_folder(args.out, ""))
    try:
        with _files(settings.corpus, out) as paths:
            found, new = make(out, paths, settings, args.workers, print, column=args.column, ranks=ranks)
    except KeyboardInterrupt:
        print(f"\nStopped; what was made so far is kept in {out}, and the same command goes on.")
        return 130
    except BaseException:
        if ranks.first:
            _clear(out)
        raise
    if not ranks.first:
        return 0
    kept = len(found.shards) - new
    if kept:
        print(f"{kept:,} of {len(found.shards):,} shards were there already, with their tokenizer; the others were made.")
    print(f"\n{report_of(found, out.resolve().name, settings.max_length)}\n")
    family = ("--family", settings.family) if settings.family != Settings.family else ()
    shards = f"{len(found.shards):,} shard{'s' * (len(found.shards) > 1)}"
    print(f"The text is in {out}: {sum(found.tokens):,} tokens in {shards}. To train on it:\n"
          f"  {command('python', '-m', 'minibert', 'train', '--corpus', out, *family)}")
    return 0


def begun(folder: Path) -> bool:
    """Does a folder hold a prepared text, or one that is not yet complete?"""
    return (folder / shard.FOLDER / ASKED).is_file()


def make(folder: Path, paths: Sequence[Path], settings: Settings, workers: int | None, say: Say,
         tokenizer: Tokenizer | None = None, column: str = "text", ranks: Ranks = ALONE) -> tuple[Manifest, int]:
    """Prepare texts in a folder, or go on with it: its manifest, and how many shards are new.

    tokenizer: the one to use instead of what the settings name, or learn. workers: of each rank. ValueError where the folder has
    another one, or ranks see other texts.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"--workers must be at least 1, got {workers}")
    sizes = {str(path): path.stat().st_size for path in paths}
    ranks.agree({f"the number of bytes in {path}": size for path, size in sizes.items()})
    size = sum(sizes.values())
    if not size:
        raise ValueError(f"{', '.join(map(str, paths[:3]))}: there is no text in it")
    ranks.at_first(lambda: _begin(folder, paths, settings, say, tokenizer, column))
    processes = min(ranks.threads(workers) or available_cores(), max(1, math.ceil(size / SHARE / ranks.size)), MOST)
    say(f"Cutting {size / 1e6:,.1f} MB of text, " + f"{ranks.size} ranks of " * (ranks.size > 1)
        + f"{processes} process{'es' * (processes > 1)} …")
    texts = sources.Texts(paths, layout_of(settings, tokenizer or Tokenizer.load(folder)), column)
    with tqdm(total=size, unit="B", unit_scale=True, disable=None if ranks.first else True, dynamic_ncols=True) as bar:
        try:
            return making.make(folder, texts, settings.held_out, processes, lambda read: bar.update(read - bar.n), ranks)
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(error.errno, f"{error.strerror or error}; the shards that were made in {folder} are kept, and the same "
                          "command goes on") from error


def _begin(folder: Path, paths: Sequence[Path], settings: Settings, say: Say, tokenizer: Tokenizer | None, column: str) -> None:
    """The tokenizer in the folder, and how it was asked for."""
    if tokenizer is None and settings.vocab:
        tokenizer = tokenizer_of(settings, [], (), say)
    layout = layout_of(settings, tokenizer)
    asked = {name: getattr(settings, name) for name in OF_TOKENIZER}
    if tokenizer is not None:
        asked["given"] = shard.fingerprint(tokenizer)
    if begun(folder):
        _same(folder, asked)
    else:
        if tokenizer is None:
            tokenizer = tokenizer_of(settings, list(_sentences(paths, layout, column, settings.held_out)), (), say)
        tokenizer.vocab.require("training", *SPECIAL)
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(folder)
        (folder / shard.FOLDER).mkdir(exist_ok=True)
        write_atomically(folder / shard.FOLDER / ASKED, json.dumps(asked, indent=1, ensure_ascii=False) + "\n")


def _sentences(paths: Sequence[Path], layout: Any, column: str, held_out: float) -> Iterator[str]:
    """Those of a sample, without the documents that will be held out, as far as the sample holds them whole."""
    bound = shard.bound_of(held_out)
    for piece in sources.sample(paths, SAMPLE, layout, column):
        for document in documents_of(sources.text_of(piece), piece.layout, piece.alone):
            if shard.drawn(document) >= bound:
                yield from document


def _same(folder: Path, asked: dict[str, Any]) -> None:
    """ValueError where the tokenizer of a folder was asked for otherwise."""
    before = read_json(folder / shard.FOLDER / ASKED, dict)
    for name in (*OF_TOKENIZER, "given"):
        if before.get(name) != asked.get(name):
            what = "its tokenizer is another one" if name == "given" else (
                f"--{name.replace('_', '-')} was {brief(before.get(name))}, and is now {brief(asked.get(name))}")
            raise ValueError(f"{folder} holds text that was cut otherwise: {what}; choose another --out, or ask for the same")


@contextmanager
def _files(corpus: Sequence[str], out: Path) -> Iterator[list[Path]]:
    """The files of texts; what is no file is one in the folder for as long as it is read."""
    made, paths = [], []
    try:
        for source in corpus:
            if source in WORLDS:
                raise ValueError(f"{source} is a language that is generated where it is needed: train on it without preparing it")
            if source not in ("-", "python-docs"):
                paths += sources.find([source])
                continue
            made.append(out / f".{'standard-input' if source == '-' else source}.txt")
            with open(made[-1], "wb") as file:
                if source == "-":
                    shutil.copyfileobj(standard_input(), file)
                else:
                    file.write("\n\n".join(map("\n".join, python_docs.documents())).encode("utf-8"))
            paths.append(made[-1])
        yield paths
    finally:
        for path in made:
            path.unlink(missing_ok=True)


def _clear(out: Path) -> None:
    """Take away a folder in which nothing was begun."""
    if not begun(out) and not (out / FILE).exists():
        with suppress(OSError):
            out.rmdir()
