"""Smaller models beside their teacher and beside the same layers without one: accuracy, seed by seed, on the same test examples.

::

    python -m benchmarks.compression --model DIR --sst2 FOLDER --texts FILE --seeds 3     # train what is missing, then the tables

The teacher is the whole model, fine-tuned once; the seeds are its students'. ``truncated`` are the first half of the layers of
``--model``, fine-tuned without a teacher, in as many epochs as the others; what is pruned learns nothing afterwards. Two tasks:
the sentiment of SST-2 (``train.tsv``, ``dev.tsv``, ``test.tsv`` of the folder, a sentence and its label), and whether two
sentences of a paragraph of ``--texts``, of which one is its first, stand in order, made here with a seed (of neighbours anywhere
in WikiText an encoder of 22.7M weights, fine-tuned on 3,606 pairs, told no more than chance). What is compared are the same test
examples: for each the difference of right and wrong, as a mean over the seeds, and its 95 % interval by the bootstrap over
examples. Runs lie in ``--folder`` and go on where they stopped. The clock of these models is ``minibert compress report``.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

from benchmarks import common
from minibert.cli import main as minibert
from minibert.compression import students
from minibert.data.sentences import split_sentences
from minibert.files import write_atomically
from minibert.model import pretraining
from minibert.pretrained import folder
from minibert.tasks.labelled.metrics import spearman

COLUMNS = {"sst2": ("--text", 1, "--label", 2), "order": ("--text", 1, "--pair", 2, "--label", 3)}
EPOCHS, DRAWS, SPLITS = 3, 10_000, (("test", 0.15), ("dev", 0.1), ("train", 1.0))
LEARNS = ("--epochs", EPOCHS, "--learning-rate", "1e-4")
OF_A_TEACHER = {"theseus": ("theseus", *LEARNS),
                "distil": ("distil", *LEARNS),
                "fewer-heads": ("prune", "--heads", 0.4),
                "at-random": ("prune", "--heads", 0.4, "--by", "random"),
                "in-reverse": ("prune", "--heads", 0.4, "--by", "reverse"),
                "fewer-rows-too": ("prune", "--heads", 0.4, "--feed-forward", 0.4),
                "early-exit": ("early-exit", "--epochs", 1, "--learning-rate", "1e-3")}
SPEEDS = (0.3, 0.5, 0.8)
DONE, ANSWERS = ("metrics.json", "pruning.json"), "test.tsv"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compression", description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a trained encoder")
    parser.add_argument("--sst2", type=Path, metavar="FOLDER", help="with train.tsv, dev.tsv and test.tsv")
    parser.add_argument("--texts", type=Path, metavar="FILE", help="a text, a paragraph a line, whose sentences are put in order")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (default: 3)")
    parser.add_argument("--students", nargs="+", choices=("truncated", *OF_A_TEACHER), default=("truncated", *OF_A_TEACHER))
    parser.add_argument("--folder", type=Path, default=Path("runs/compression"), metavar="DIR", help="of the runs")
    parser.add_argument("--json", type=Path, default=common.RESULTS / "compression.json", metavar="FILE")
    args = parser.parse_args(arguments)
    if not args.sst2 and not args.texts:
        parser.error("nothing to learn: give --sst2 FOLDER, --texts FILE, or both")
    where = common.machine(1)
    found: dict[str, dict[str, dict[str, str]]] = {}
    for task, source in (("sst2", args.sst2), ("order", args.texts)):
        if source:
            files = args.sst2 if task == "sst2" else ordered(args.texts, args.folder / "order")
            rows = found[task] = {}
            for row, seed, bits in of_task(task, files, args):
                rows.setdefault(row, {})[str(seed)] = bits
                write_atomically(args.json, json.dumps({"where": where, "epochs": EPOCHS, "right": found}, indent=1) + "\n")
    print(common.describe(where), *(table(task, rows) for task, rows in found.items()), sep="\n\n")
    return 0


def of_task(task: str, files: Path, args: argparse.Namespace) -> Iterator[tuple[str, int, str]]:
    """The teacher, then the students seed by seed: name, seed, and which test examples are right, as zeros and ones."""
    place, half = args.folder / task, halved(args.model, args.folder)
    teacher = place / "teacher-0"
    runs = {"teacher": ("finetune", "classify", "--model", args.model, "--epochs", EPOCHS),
            "truncated": ("finetune", "classify", "--model", half, *LEARNS)}
    runs |= {name: ("compress", *options, "--teacher", teacher) for name, options in OF_A_TEACHER.items()}
    for seed in range(args.seeds):
        for name in (*["teacher"] * (not seed), *args.students):
            out = place / f"{name}-{seed}"
            if not any((out / done).is_file() for done in DONE):
                said(*((runs[name][0], "--resume", out) if out.is_dir() else (
                    *runs[name], "--train", files / "train.tsv", "--dev", files / "dev.tsv", *COLUMNS[task], "--seed", seed,
                    "--threads", 1, "--out", out)))
            for speed in SPEEDS if name == "early-exit" else (None,):
                row = name if speed is None else f"{name} {speed}"
                bits = right(out, files / "test.tsv", speed)
                harder = f", exit and loss of the teacher: rank correlation {exits(out, teacher):.2f}" if speed else ""
                print(f"{task}, seed {seed}, {row}: {accuracy(bits):.2f} %{harder}", flush=True)
                yield row, seed, bits


def halved(model: Path, place: Path) -> Path:
    """The folder of the first half of the layers of a trained encoder."""
    out = place / "first-layers"
    if not out.is_dir():
        bert = folder.load(model, layout=pretraining.layout)
        half = bert.config.num_hidden_layers // 2
        config = students.config_of(bert.config, half)
        parameters, _ = students.begun(pretraining.layout(config), bert.parameters, range(half), 0.02, 0)
        folder.save(out, config, parameters, bert.tokenizer)
    return out


def right(model: Path, file: Path, speed: float | None = None) -> str:
    """Which examples of a file a model answers rightly, as zeros and ones."""
    said("predict", model, file, "--out", model / ANSWERS, "--threads", 1, *(() if speed is None else ("--speed", speed)))
    label, guess = columns(model, "label", "guess")
    return "".join("01"[one == other] for one, other in zip(label, guess))


def exits(model: Path, teacher: Path) -> float:
    """Do texts leave later of which the teacher's answer is worse? The rank correlation of layer and loss, of two classes."""
    label, guess, sure = columns(teacher, "label", "guess", "confidence")
    [layers] = columns(model, "layer")
    return spearman([int(layer) for layer in layers],
                    [1 - float(p) if one == other else float(p) for one, other, p in zip(label, guess, sure)])


def columns(model: Path, *names: str) -> list[list[str]]:
    """Of the answers that a model gave last."""
    header, *lines = (line.split("\t") for line in (model / ANSWERS).read_text(encoding="utf-8").splitlines())
    return [[line[header.index(name)] for line in lines] for name in names]


def said(*arguments: object) -> str:
    """What a command says, RuntimeError where it fails."""
    text = io.StringIO()
    with redirect_stdout(text), redirect_stderr(text):
        code = minibert(list(map(str, arguments)))
    if code:
        raise RuntimeError(text.getvalue())
    return text.getvalue()


def ordered(texts: Path, place: Path, seed: int = 0) -> Path:
    """Pairs of sentences, half of them swapped; the text's beginning is for testing."""
    place.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = ["\t".join((second, first, "swapped") if rng.random() < 0.5 else (first, second, "ordered"))
            for first, second in pairs(texts.read_text(encoding="utf-8").splitlines())]
    begin = 0
    for name, share in SPLITS:
        end = begin + round(share * len(rows)) if share < 1 else len(rows)
        write_atomically(place / f"{name}.tsv", "".join(row + "\n" for row in rows[begin:end]))
        begin = end
    return place


def pairs(paragraphs: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The first sentence of a paragraph and each later one, of 4 to 30 words."""
    for paragraph in paragraphs:
        first, *later = [sentence.replace("\t", " ") for sentence in split_sentences(paragraph.strip())] or [""]
        for second in later:
            if all(4 <= len(sentence.split()) <= 30 for sentence in (first, second)):
                yield first, second


def accuracy(bits: str) -> float:
    """In per cent."""
    return 100 * bits.count("1") / len(bits)


def difference(a: dict[str, str], b: dict[str, str]) -> tuple[float, float, float]:
    """Points that a has more than b on the same examples and seeds: the mean, and its 95 % interval over the examples."""
    each = np.mean([[int(x) - int(y) for x, y in zip(a[seed], b[seed], strict=True)] for seed in a], 0)
    rng = np.random.default_rng(0)
    means = np.array([each[rng.integers(0, len(each), len(each))].mean() for _ in range(DRAWS)])
    low, high = np.quantile(means, (0.025, 0.975))
    return 100 * float(each.mean()), 100 * float(low), 100 * float(high)


def table(task: str, rows: dict[str, dict[str, str]]) -> str:
    """A line for each model."""
    [teacher] = rows["teacher"].values()
    lines = [f"{task}: {len(teacher):,} test examples, accuracy in %",
             f"{'':<16}{'seeds':<20}{'mean':>8}{'of teacher':>12}   more than truncated"]
    for name, seeds in rows.items():
        mean = float(np.mean([accuracy(bits) for bits in seeds.values()]))
        more = ""
        if name not in ("teacher", "truncated") and "truncated" in rows:
            points, low, high = difference(seeds, rows["truncated"])
            more = f"{points:+.2f} [{low:+.2f}, {high:+.2f}]"
        each = " ".join(f"{accuracy(bits):.2f}" for bits in seeds.values())
        lines.append(f"{name:<16}{each:<20}{mean:>8.2f}{100 * mean / accuracy(teacher):>11.1f}%   {more}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
