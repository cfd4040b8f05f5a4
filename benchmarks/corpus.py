"""Corpora of 10 MB to 1 GB: what preparing one costs, and what it costs then to train on it.

    python -m benchmarks.corpus                                # 10 and 100 MB
    python -m benchmarks.corpus --sizes 10 100 1000 --folder /large/disk
    python -m benchmarks.corpus --sizes 1000 --rounds 0        # memory and start alone: nothing takes turns

The corpora are made with a seed: sentences of real texts in a new order, one a line, in documents of some twenty, and a Zipf
share of invented words, so that distinct words keep growing as they do in real text (the growth is printed). For each size, in
processes of their own:

- ``train``: a tiny model, from the start of the process to its first step, and the most memory it held, beside what the model
  itself takes (weights, moments, gradients, activations: ``minibert.memory``); on the prepared text, and, up to ``--plain`` MB,
  on the text; and on the prepared text whose manifest names every shard ``--times`` over, which is as large a one to whoever
  reads it;
- ``prepare``, on one core and on all, and the ``tokenizers`` library, which reads the same lines, cuts them with the same
  vocabulary, in batches and with as many threads, and writes the same three arrays. They alternate; seconds of the clock, and of
  all processors.

The texts are those in the folder that MINIBERT_TEST_DATA names.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from minibert import memory
from minibert.data.corpora import read
from minibert.data.tokens import manifest
from minibert.training.options import Settings
from minibert.training.start import config_of

TEXTS = ("alice29.txt", "tinyshakespeare.txt", "wikitext2_raw_test.txt")
VOCABULARY = "bert-base-uncased-vocab.txt"
INVENTED, EXPONENT = 0.3, 1.3  # share of the sentences that get an invented word, and how its rank is drawn
BATCH = 1000  # lines that the library cuts at once
TRAIN = "--steps 20 --eval-every 10 --max-length 64 --batch-size 16 --threads 2 --lanes 2 --device cpu".split()
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


def corpus(path: Path, megabytes: float, texts: Path, seed: int = 0) -> list[tuple[float, int]]:
    """Write one. (megabytes, distinct words) on the way."""
    sentences = [s for name in TEXTS for document in read(str(texts / name)).documents for s in document if " " in s]
    rng, growth, words, size = np.random.default_rng(seed), [], set(), 0
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        while size < megabytes * 1e6:
            block = [sentences[i] for i in rng.integers(len(sentences), size=2000)]
            places = np.flatnonzero(rng.random(len(block)) < INVENTED)
            for i, rank in zip(places.tolist(), rng.zipf(EXPONENT, len(places)).tolist()):
                block[i] = block[i].replace(" ", f" {_invented(rank)} ", 1)
            text = "\n\n".join("\n".join(block[i:i + 20]) for i in range(0, len(block), 20)) + "\n\n"
            words.update(text.split())
            size += file.write(text)
            if not growth or size > 2 * growth[-1][0] * 1e6:
                growth.append((size / 1e6, len(words)))
    return [*growth, (size / 1e6, len(words))]


def _invented(rank: int) -> str:
    word = ""
    while rank:
        rank, last = divmod(rank, len(SYLLABLES))
        word += SYLLABLES[last]
    return word


# In processes of their own


def library(text: Path, vocabulary: Path, out: Path) -> None:
    """What ``prepare`` does, with the library."""
    from tokenizers import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)._tokenizer
    ids, lengths, documents, lines = [], [], [0], 0
    for batch in _batches(text):
        found = [e.ids for e in tokenizer.encode_batch_fast([line for line in batch if line], add_special_tokens=False)]
        lengths += map(len, found)
        ids.append(np.fromiter(chain.from_iterable(found), np.uint16))
        for line in batch:
            lines += bool(line)
            if not line:
                documents.append(lines)
    out.mkdir()
    np.save(out / "ids.npy", np.concatenate(ids))
    np.save(out / "sentences.npy", np.cumsum([0, *lengths[:-1]]).astype(np.uint32))
    np.save(out / "documents.npy", np.array(documents, np.uint32))


def _batches(text: Path) -> Iterator[list[str]]:
    with open(text, encoding="utf-8") as file:
        while batch := [line.rstrip("\n") for line in islice(file, BATCH)]:
            yield batch


def train(began: float, *argv: str) -> None:
    """``minibert train``, which says when its first step began."""
    from minibert.training import command, loop, options

    step, said = loop.Loop._step, []

    def stepped(self: loop.Loop) -> None:
        if not said:
            said.append((time.time() - began, time.process_time()))
        step(self)

    loop.Loop._step = stepped
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    command.run(parser.parse_args(argv))
    print(json.dumps({"start": said[0][0], "start_cpu": said[0][1], "peak": common.own_peak()}))


def child(*argv: Any, **environment: str) -> tuple[float, float, str]:
    """Run one: seconds of the clock, of all processors, and its last line."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, argv)], stdout=subprocess.PIPE, text=True, encoding="utf-8",
                               env={**os.environ, **environment})
    assert process.stdout is not None
    said = process.stdout.read().strip()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        sys.exit(f"error: {' '.join(map(str, argv))} ended with status {status}: {said[-500:]}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, said.splitlines()[-1] if said else ""


def named(prepared: Path, times: int, out: Path) -> Path:
    """A copy of a prepared text whose manifest names every shard so many times."""
    shutil.copytree(prepared, out)
    found = manifest.read(out)
    counts = {name: tuple(n * times for n in getattr(found, name)) for name in ("documents", "sentences", "tokens", "lengths")}
    manifest.write(out, replace(found, shards=found.shards * times, **counts))
    return out


def measure(megabytes: int, folder: Path, texts: Path, plain: int, times: Sequence[int], rounds: int, threads: int
            ) -> dict[str, Any]:
    """All of one size."""
    text, vocabulary = folder / f"{megabytes}.txt", texts.parent / "vocab" / VOCABULARY
    growth = corpus(text, megabytes, texts)
    result: dict[str, Any] = {"megabytes": megabytes, "growth": growth, "prepare": {}, "train": {}}
    ours = ("-m", "minibert", "prepare", text, "--layout", "lines", "--vocab", vocabulary, "--workers")
    contest = {f"prepare, {n} process{'es' * (n > 1)}": (*ours, n, "--out") for n in sorted({1, threads})}
    contest["tokenizers"] = ("-m", "benchmarks.corpus", "--child", "library", text, vocabulary)
    for number in range(rounds):
        for name, argv in contest.items():
            shutil.rmtree(folder / "out", ignore_errors=True)
            took = child(*argv, folder / "out", TOKENIZERS_PARALLELISM="true", RAYON_NUM_THREADS=str(threads))[:2]
            result["prepare"].setdefault(name, []).append(took)
            common.progress(f"{megabytes} MB, round {number + 1} of {rounds}: {name}, {took[0]:.1f} s")
    shutil.rmtree(folder / "out", ignore_errors=True)
    child(*contest[f"prepare, {threads} process{'es' * (threads > 1)}"], folder / "out")
    settings = Settings()
    config = config_of(settings).replace(vocab_size=sum(1 for _ in open(vocabulary, encoding="utf-8")))
    result["model"] = memory.total(memory.training_on_cores(config, 16, 64, 2, 512, False))
    ways = {"prepared": folder / "out"} | ({"text": text} if megabytes <= plain else {})
    ways |= {f"prepared, named {n} times": named(folder / "out", n, folder / f"{n}-times") for n in times}
    for way, source in ways.items():
        more = ("--no-prepare", "--vocab", vocabulary, "--layout", "lines") if way == "text" else ()
        shutil.rmtree(folder / "run", ignore_errors=True)
        said = child("-m", "benchmarks.corpus", "--child", "train", time.time(), "--corpus", source, *TRAIN, *more, "--out",
                     folder / "run")[2]
        result["train"][way] = json.loads(said)
    for path in folder.iterdir():
        path.unlink() if path == text else shutil.rmtree(path)
    return result


def show(results: Sequence[dict[str, Any]]) -> None:
    """The tables."""
    print("\nThe corpora: megabytes and distinct words on the way")
    common.table(["MB", *(f"{size:,.0f} MB" for size, _ in results[-1]["growth"])],
                 [[r["megabytes"], *(n for _, n in r["growth"]), *[None] * (len(results[-1]["growth"]) - len(r["growth"]))]
                  for r in results])
    print("\ntrain: seconds to the first step, and MB at the peak")
    common.table(["MB of text", "read as", "start, s", "start, CPU s", "peak", "beyond the model"], [
        [r["megabytes"], way, one["start"], one["start_cpu"], one["peak"] / 1e6, (one["peak"] - r["model"]) / 1e6]
        for r in results for way, one in r["train"].items()])
    if raced := [r for r in results if r["prepare"]]:
        show_contest(raced)
    if len(results) > 1:
        a, b = results[0], results[-1]
        peaks = [r["train"]["prepared"]["peak"] for r in (a, b)]
        exponent = np.log(peaks[1] / peaks[0]) / np.log(b["megabytes"] / a["megabytes"])
        print(f"peak of train on prepared text grows as size ** {exponent:.3f}")


def show_contest(results: Sequence[dict[str, Any]]) -> None:
    """What took turns."""
    print("\nprepare: medians")
    rows = []
    for r in results:
        library = r["prepare"]["tokenizers"]
        for name, turns in r["prepare"].items():
            clock, cpu = zip(*turns)
            rows.append([r["megabytes"], name, common.median(clock), common.median(cpu), r["megabytes"] / common.median(clock),
                         common.ratio([t[0] for t in library], clock), common.ratio([t[1] for t in library], cpu)])
    common.table(["MB of text", "", "s", "CPU s", "MB/s", "tokenizers takes, s", "tokenizers takes, CPU s"], rows)
    for r in results:
        one, all_ = ([turns for name, turns in r["prepare"].items() if name != "tokenizers"] * 2)[:2]
        faster = common.ratio([t[0] for t in one], [t[0] for t in all_])
        print(f"{r['megabytes']} MB: all cores are {faster:.2f} times as fast as one")


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        kind, *rest = sys.argv[2:]
        return library(*map(Path, rest)) if kind == "library" else train(float(rest[0]), *rest[1:])
    parser = common.arguments(__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100], metavar="MB", help="megabytes of the corpora")
    parser.add_argument("--plain", type=int, default=100, metavar="MB", help="up to this size also the text itself is trained on")
    parser.add_argument("--times", type=int, nargs="*", default=[], metavar="N", help="train also on the prepared text with its "
                        "shards named so many times")
    parser.add_argument("--folder", type=Path, help="where there is room for three times the largest")
    options = parser.parse_args()
    common.need("tokenizers")
    data = Path(os.environ.get("MINIBERT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not data.is_dir():
        sys.exit(f"error: no texts at {data} (set MINIBERT_TEST_DATA)")
    where = common.machine(options.threads)
    print(common.describe(where), flush=True)
    results = []
    with tempfile.TemporaryDirectory(prefix="minibert-", dir=options.folder) as folder:
        for megabytes in options.sizes:
            results.append(measure(megabytes, Path(folder), data / "corpora", options.plain, options.times, options.rounds,
                                   options.threads))
            common.write("corpus", where, results, options.json)
    common.progress("")
    show(results)
    print(f"\nfigures: {common.write('corpus', where, results, options.json)}")


if __name__ == "__main__":
    main()
