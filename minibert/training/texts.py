"""Texts that were prepared, as what a run learns from; and large ones, which are prepared in the cache when a run begins."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from minibert.data.corpora import MADE_HERE, Corpus, texts_of
from minibert.data.prepared import shards
from minibert.data.report import Report, report_of
from minibert.data.tokens import manifest as manifests
from minibert.data.tokens import shard, sources, windows
from minibert.files import cache_folder
from minibert.tasks.marks import OF_TEXT
from minibert.text.tokenizer import Tokenizer
from minibert.training import prepare_text
from minibert.training.objectives import marks
from minibert.training.options import OPTIONS, Settings
from minibert.training.runs import Say
from minibert.training.vocabularies import tokenizer_of

LARGE = 16 << 20  # bytes: read whole, a text takes some 22 times its size in memory
DECIDED = ("layout", "held_out", "vocab_size", "cased", "cut")  # when a text is prepared


def is_prepared(settings: Settings) -> bool:
    """Whether the corpus of a run is a prepared text, or has one in it."""
    return any(map(manifests.is_prepared, settings.corpus))


def check(settings: Settings, args: argparse.Namespace) -> None:
    """ValueError for what cannot be said of a prepared text."""
    if len(settings.corpus) > 1:
        raise ValueError(f"--corpus {' '.join(settings.corpus)}: a prepared text is a corpus of its own; prepare the texts "
                         "together")
    for name in DECIDED:
        if getattr(args, name, None) is not None:
            raise ValueError(f"{OPTIONS.typed(name)} is decided when a text is prepared, and {settings.corpus[0]} has been: "
                             "leave it out, or prepare the text anew")
    if asked := sorted(marks(settings) & {*OF_TEXT}):
        raise ValueError(f"--masking and --words may not ask of a prepared text what only its characters tell "
                         f"({', '.join(asked)}): train on the text itself")


def folder_of(settings: Settings, say: Say, tokenizer: Tokenizer | None) -> Path | None:
    """Where the corpus of a run lies prepared: the folder that it names, or for a large text one in the cache, which is made if
    need be. None: the corpus is read as it is."""
    if is_prepared(settings):
        return Path(settings.corpus[0])
    paths = _large(settings)
    if not paths:
        return None
    size = sum(path.stat().st_size for path in paths)
    folder, tokenizer = _cached(paths, settings, tokenizer)
    if _up_to_date(folder, paths):
        say(f"{' + '.join(settings.corpus)}: {size / 1e6:,.0f} MB, prepared earlier in {folder}")
    else:
        say(f"{' + '.join(settings.corpus)}: {size / 1e6:,.0f} MB are prepared once, in {folder}, and read by windows "
            "(--no-prepare: read whole, into memory)")
        prepare_text.make(folder, paths, settings, None, say, tokenizer)
    return folder


def read(folder: Path, settings: Settings, say: Say, tokenizer: Tokenizer | None
         ) -> tuple[Corpus, windows.Windows, list, Tokenizer, Report, list]:
    """The corpus without its text, its windows, documents that are held out, the tokenizer, a report, and their sentences.

    ValueError where the text was cut with another vocabulary than that of the run; FileNotFoundError for a shard that is gone.
    """
    found = manifests.read(folder)
    own = manifests.tokenizer_of(folder, found)
    if tokenizer is None and settings.vocab:
        tokenizer = tokenizer_of(settings, [], (), say)
    if tokenizer is None:
        tokenizer = own
        tokenizer.max_length = settings.max_length
    elif shard.fingerprint(tokenizer) != found.tokenizer:
        raise ValueError(f"the text in {folder} was cut with another vocabulary ({found.vocabulary:,} tokens) than that of the "
                         f"run ({len(tokenizer.vocab):,}): prepare it with that one (minibert prepare --vocab)")
    for part, *_ in found.shards:
        shard.present(folder, part)
    name = folder.resolve().name
    corpus = Corpus(name, [], f"{name}: a prepared text, {sum(found.documents):,} documents, {sum(found.sentences):,} sentences, "
                    f"{len(found.shards):,} shards, sha256 {found.sha256[:12]}", found.sha256)
    say(corpus.description)
    for text in manifests.changed(found):
        say(f"note: {text} has changed since {folder} was prepared; minibert prepare brings that up to date")
    report = report_of(found, name, settings.max_length)
    say(f"\n{report}\n")
    aside = windows.held_out(folder, found, settings.seed)
    return (corpus, windows.Windows(folder, found, settings.seed), aside, tokenizer, report,
            [[sentence.tolist() for sentence in document] for document in aside])


def _large(settings: Settings) -> list[Path]:
    """The files of a corpus that is prepared by itself: plain texts, large ones. Empty: another corpus."""
    if not settings.prepare or marks(settings) & {*OF_TEXT} or {"-", *MADE_HERE} & {*settings.corpus}:
        return []
    paths = [path for source in map(Path, settings.corpus) for path in (texts_of(source) if source.is_dir() else [source])]
    plain = all(path.is_file() and path.suffix.lower() not in (sources.ROWS, sources.TABLE, *sources.PACKED) for path in paths)
    if not plain or sum(path.stat().st_size for path in paths) < LARGE or any(map(shards.is_prepared, settings.corpus)):
        return []
    return paths


def _cached(paths: list[Path], settings: Settings, tokenizer: Tokenizer | None) -> tuple[Path, Tokenizer | None]:
    """The folder of the cache for such a text, and the tokenizer to cut it with; None: the one that is learned for it.

    A run that goes on has a tokenizer, and that may be one that was learned here.
    """
    asked = [[str(path.absolute()) for path in paths], settings.layout, settings.held_out,
             *(getattr(settings, name) for name in prepare_text.OF_TOKENIZER)]

    def place(*more: str) -> Path:
        key = hashlib.sha256(json.dumps([asked, *more]).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return cache_folder() / "texts" / key

    if tokenizer is None:
        return place(), None
    known = shard.fingerprint(tokenizer)
    if prepare_text.begun(place()) and shard.fingerprint(Tokenizer.load(place())) == known:
        return place(), None
    return place(known), tokenizer


def _up_to_date(folder: Path, paths: list[Path]) -> bool:
    """Was a text prepared there, of these files as they are now, and is it whole?"""
    try:
        found = manifests.read(folder)
        for part, *_ in found.shards:
            shard.present(folder, part)
    except (FileNotFoundError, ValueError):
        return False
    return found.texts == manifests.texts_of(paths)
