"""Sentences a second, tokens to vectors, and one sentence at once: minibert, transformers, ONNX Runtime, OpenVINO.

transformers' ``BertModel`` is measured with and without sorting by length, the runtimes at their best; what is not installed is
left out and named.

A text file gives the sentences, one a line; without one, the English that Python itself carries. They are cut into tokens before
the clock starts. Each competitor then turns each into one vector, the mean over its tokens, on the same threads: all of them, and
the one of about 16 tokens alone, on which only PyTorch has more than one thread. Every competitor lives in a process of its own;
they take turns. The vectors are compared first.

    python -m benchmarks.inference                         # mini and base, random weights
    python -m benchmarks.inference DIR --text FILE
    python -m benchmarks.inference --threads 1 --cpu       # on a machine that others use
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import minibert
from benchmarks import common, runtimes
from minibert import batched, sentence_vectors
from minibert.api import Bert
from minibert.config import BertConfig
from minibert.data import python_docs
from minibert.model import pretraining
from minibert.workers import keep_freed_memory

PEER = ("torch", "transformers")
COMPETITORS = {"transformers": PEER, "transformers sorted": PEER, "transformers sorted+keep": PEER,
               "ONNX Runtime": ("onnx", "onnxruntime"), "OpenVINO": ("openvino",), "minibert": ()}  # and the packages each needs
BATCH = 32  # sentences of transformers
CALL = 700  # tokens in a call of a runtime
TIMES = 20  # that one sentence is read in a turn
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


Vectors = Callable[[list[list[int]]], np.ndarray]  # rows of ids -> a vector of each


def minibert_vectors(bert: Bert, threads: int) -> Vectors:
    return lambda rows: sentence_vectors.of_tokens(bert, rows, sentence_vectors.Pooling(), threads)


def transformers_vectors(bert: Bert, by_length: bool) -> Vectors:
    import torch

    from benchmarks import peers

    peer = peers.transformers_model(bert.config, "BertModel")
    flat = {name.removeprefix("bert."): torch.from_numpy(np.array(value)) for name, value in bert.parameters.items()
            if name.startswith("bert.")}
    peer.load_state_dict(flat, strict=False)
    peer.eval()

    @torch.inference_mode()
    def vectors_of(rows: list[list[int]]) -> np.ndarray:
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i])) if by_length else list(range(len(rows)))
        vectors = np.empty((len(rows), bert.config.hidden_size), np.float32)
        for start in range(0, len(rows), BATCH):
            batch = order[start:start + BATCH]
            ids, mask = map(torch.from_numpy, padded(bert, [rows[i] for i in batch]))
            vectors[batch] = mean(peer(input_ids=ids, attention_mask=mask).last_hidden_state.numpy(), mask.numpy())
        return vectors

    return vectors_of


def runtime_vectors(bert: Bert, runtime: str, threads: int) -> Vectors:
    """Sorted, 700 tokens a call, as many one-thread calls side by side as there are threads."""
    states = runtimes.onnxruntime_states(bert) if runtime == "ONNX Runtime" else runtimes.openvino_states(bert, threads)
    pool = ThreadPoolExecutor(threads)

    def vectors_of(rows: list[list[int]]) -> np.ndarray:
        vectors = np.empty((len(rows), bert.config.hidden_size), np.float32)

        def work(batch: np.ndarray) -> None:
            ids, mask = padded(bert, [rows[i] for i in batch])
            vectors[batch] = mean(states(ids, mask), mask)

        list(pool.map(work, batched.cut(np.array([len(row) for row in rows]), CALL)))
        return vectors

    return vectors_of


def padded(bert: Bert, rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask ``(B, T)``."""
    ids, mask, _ = batched.padded(bert, rows)
    return ids, np.ones_like(ids) if mask is None else mask


def mean(h: np.ndarray, mask: np.ndarray) -> np.ndarray:
    real = mask[:, :, None].astype(h.dtype)
    return (h * real).sum(1) / real.sum(1)


def vectors_by(competitor: str, bert: Bert, threads: int) -> Vectors:
    if competitor == "minibert":
        keep_freed_memory()
        return minibert_vectors(bert, threads)
    if not competitor.startswith("transformers"):
        return runtime_vectors(bert, competitor, threads)
    import torch

    torch.set_num_threads(threads)
    return transformers_vectors(bert, "sorted" in competitor)


def read(name: str, text: Path | None) -> tuple[Bert, list[list[int]], list[list[int]]]:
    """The model, the rows of all sentences, and as the only row the one that is nearest to 16 tokens."""
    bert = model(name)
    rows = rows_of(bert, sentences(text, COUNTS.get(name, 600)))
    return bert, rows, [min(rows, key=lambda row: abs(len(row) - 16))]


def measure(name: str, text: Path | None, threads: int, rounds: int, names: Sequence[str], cpu: bool = False) -> dict[str, Any]:
    more = ["--text", str(text)] if text else []
    rivals = {c: common.Rival("benchmarks.inference", name, *more, "--threads", str(threads), "--serve", c.removesuffix("+keep"),
                              environment=common.KEEP if c.endswith("+keep") else None) for c in names}
    seconds = common.alternate(rivals, rounds, warmup=1, cpu=cpu)
    one = common.alternate(rivals, rounds, warmup=1, kind=1, cpu=cpu)
    lengths = [len(row) for row in read(name, text)[1]]
    return {"model": name, "sentences": len(lengths), "tokens": {"mean": float(np.mean(lengths)), "longest": max(lengths)},
            "seconds": seconds, "seconds, one sentence": {c: [t / TIMES for t in turns] for c, turns in one.items()},
            "peak_memory": {c: rival.close() for c, rival in rivals.items()}}


def agree(name: str, text: Path | None, threads: int, names: Sequence[str]) -> float:
    """The largest difference between minibert's vectors of the first sentences and those of the others."""
    bert, rows, _ = read(name, text)
    found = {c: vectors_by(c, bert, threads)(rows[:64]) for c in names}
    return max(float(np.abs(vectors - found["minibert"]).max()) for vectors in found.values())


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["mini", "base"], metavar="MODEL", help="tiny, mini, base, or a folder")
    parser.add_argument("--text", type=Path, metavar="FILE", help="sentences, one a line")
    parser.add_argument("--only", nargs="+", choices=COMPETITORS, default=list(COMPETITORS), metavar="NAME",
                        help="some of the competitors, beside minibert")
    parser.add_argument("--cpu", action="store_true", help="the processor's time, all threads together, not the clock's")
    parser.add_argument("--serve", choices=COMPETITORS, help=common.argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        bert, rows, one = read(options.models[0], options.text)
        vectors_of = vectors_by(options.serve, bert, options.threads)
        return common.serve(lambda: vectors_of(rows), lambda: [vectors_of(one) for _ in range(TIMES)])
    asked = [c for c in COMPETITORS if c in (*options.only, "minibert") and (sys.platform == "linux" or not c.endswith("+keep"))]
    names = [c for c in asked if all(map(find_spec, COMPETITORS[c]))]
    where = common.machine(options.threads)
    print(common.describe(where), flush=True)
    if left := [c for c in asked if c not in names]:
        print(f"not installed, so left out: {', '.join(left)}", flush=True)
    results = []
    for name in options.models:
        difference = agree(name, options.text, options.threads, names)
        result = measure(name, options.text, options.threads, options.rounds, names, options.cpu)
        result |= {"largest_difference": difference, "time": "of the processor" if options.cpu else "by the clock"}
        results.append(result)
        seconds, count = result["seconds"], result["sentences"]
        print(f"\n{name}: {count:,} sentences of {result['tokens']['mean']:.0f} tokens on average, at most "
              f"{result['tokens']['longest']}; vectors differ by at most {difference:.1e}\n")
        one = result["seconds, one sentence"]
        common.table(["", "sentences/s", "time ÷ minibert", "one sentence, ms", "time ÷ minibert", "GiB at peak"],
                     [[c, count / common.median(seconds[c]), common.ratio(seconds[c], seconds["minibert"]),
                       1000 * common.median(one[c]), common.ratio(one[c], one["minibert"]),
                       result["peak_memory"][c] / 2**30] for c in seconds])
        path = common.write("inference", where, results, options.json)
    print(f"\nfigures: {path}")


if __name__ == "__main__":
    main()
