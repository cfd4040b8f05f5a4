"""Sentences a second, tokens to vectors: minibert, and transformers' ``BertModel`` with and without sorting by length.

A text file gives the sentences, one a line; without one, the English that Python itself carries. They are cut into tokens before
the clock starts. Each competitor then turns each into one vector, the mean over its tokens, on the same threads. Every
competitor lives in a process of its own; they take turns. The vectors of both are compared first.

    python -m benchmarks.inference                         # mini and base, random weights
    python -m benchmarks.inference --model DIR --text FILE
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minibert
from benchmarks import common
from minibert import sentence_vectors
from minibert.api import Bert
from minibert.config import BertConfig
from minibert.data import python_docs
from minibert.model import pretraining
from minibert.workers import keep_freed_memory

COMPETITORS = ("transformers", "transformers sorted", "transformers sorted+keep", "minibert")
BATCH = 32  # sentences of transformers
COUNTS = {"tiny": 4000, "mini": 2000, "base": 200}  # sentences: about as long a turn


def model(name: str) -> Bert:
    """A preset with random weights and the bundled vocabulary, or a folder."""
    if name not in COUNTS:
        return minibert.load(name, device="cpu")
    tokenizer = minibert.load(device="cpu").tokenizer
    config = BertConfig.preset(name, vocab_size=len(tokenizer.vocab))
    return Bert(config, pretraining.initial_parameters(config), tokenizer)


def sentences(path: Path | None, count: int) -> list[str]:
    """``count`` lines of a text file, spread evenly over it."""
    if path is None:
        lines = [sentence for document in python_docs.documents() for sentence in document]
    else:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        sys.exit(f"error: {path}: no line with text")
    return lines[::max(1, len(lines) // count)][:count]


def rows_of(bert: Bert, texts: Sequence[str]) -> list[list[int]]:
    vocab = bert.tokenizer.vocab
    return [[vocab.cls_id, *bert.tokenizer.ids(text)[:126], vocab.sep_id] for text in texts]


def minibert_turn(bert: Bert, rows: list[list[int]], threads: int) -> Callable[[], np.ndarray]:
    return lambda: sentence_vectors.of_tokens(bert, rows, sentence_vectors.Pooling(), threads)


def transformers_turn(bert: Bert, rows: list[list[int]], by_length: bool) -> Callable[[], np.ndarray]:
    import torch

    from benchmarks import peers

    peer = peers.transformers_model(bert.config, "BertModel")
    flat = {name.removeprefix("bert."): torch.from_numpy(np.array(value)) for name, value in bert.parameters.items()
            if name.startswith("bert.")}
    peer.load_state_dict(flat, strict=False)
    peer.eval()

    @torch.inference_mode()
    def turn() -> np.ndarray:
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i])) if by_length else list(range(len(rows)))
        vectors = np.empty((len(rows), bert.config.hidden_size), np.float32)
        for start in range(0, len(rows), BATCH):
            batch = order[start:start + BATCH]
            width = max(len(rows[i]) for i in batch)
            ids = torch.tensor([rows[i] + [bert.tokenizer.vocab.pad_id] * (width - len(rows[i])) for i in batch])
            mask = torch.tensor([[1] * len(rows[i]) + [0] * (width - len(rows[i])) for i in batch])
            h = peer(input_ids=ids, attention_mask=mask).last_hidden_state
            real = mask[:, :, None].to(h.dtype)
            vectors[batch] = ((h * real).sum(1) / real.sum(1)).numpy()
        return vectors

    return turn


def turn_of(competitor: str, name: str, text: Path | None, threads: int) -> Callable[[], np.ndarray]:
    bert = model(name)
    rows = rows_of(bert, sentences(text, COUNTS.get(name, 500)))
    if competitor == "minibert":
        keep_freed_memory()
        return minibert_turn(bert, rows, threads)
    import torch

    torch.set_num_threads(threads)
    return transformers_turn(bert, rows, "sorted" in competitor)


def measure(name: str, text: Path | None, threads: int, rounds: int) -> dict[str, Any]:
    more = ["--text", str(text)] if text else []
    names = [c for c in COMPETITORS if sys.platform == "linux" or not c.endswith("+keep")]
    rivals = {c: common.Rival("benchmarks.inference", name, *more, "--threads", str(threads), "--serve", c.removesuffix("+keep"),
                              environment=common.KEEP if c.endswith("+keep") else None) for c in names}
    seconds = common.alternate(rivals, rounds, warmup=1)
    lengths = [len(row) for row in rows_of(model(name), sentences(text, COUNTS.get(name, 500)))]
    return {"model": name, "sentences": len(lengths), "tokens": {"mean": float(np.mean(lengths)), "longest": max(lengths)},
            "seconds": seconds, "peak_memory": {c: rival.close() for c, rival in rivals.items()}}


def agree(name: str, text: Path | None, threads: int) -> float:
    """The largest difference between the two sides' vectors of the first sentences."""
    bert = model(name)
    rows = rows_of(bert, sentences(text, COUNTS.get(name, 500)))[:64]
    return float(np.abs(minibert_turn(bert, rows, threads)() - transformers_turn(bert, rows, True)()).max())


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["mini", "base"], metavar="MODEL", help="tiny, mini, base, or a folder")
    parser.add_argument("--text", type=Path, metavar="FILE", help="sentences, one a line")
    parser.add_argument("--serve", choices=COMPETITORS, help=common.argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return common.serve(turn_of(options.serve, options.models[0], options.text, options.threads))
    common.need("torch", "transformers")
    where = common.machine(options.threads)
    print(common.describe(where), flush=True)
    results = []
    for name in options.models:
        difference = agree(name, options.text, options.threads)
        result = measure(name, options.text, options.threads, options.rounds) | {"largest_difference": difference}
        results.append(result)
        seconds, count = result["seconds"], result["sentences"]
        print(f"\n{name}: {count:,} sentences of {result['tokens']['mean']:.0f} tokens on average, at most "
              f"{result['tokens']['longest']}; vectors differ by at most {difference:.1e}\n")
        common.table(["", "sentences/s", "minibert is faster by", "GiB at peak"],
                     [[c, count / common.median(seconds[c]), common.ratio(seconds[c], seconds["minibert"]),
                       result["peak_memory"][c] / 2**30] for c in seconds])
        path = common.write("inference", where, results, options.json)
    print(f"\nfigures: {path}")


if __name__ == "__main__":
    main()
