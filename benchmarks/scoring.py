"""Many texts at once: their hidden states, and their pseudo-log-likelihood; minibert and transformers.

*states*: every hidden state of 2,000 sentences as they stand in a file. Beside ``bert(texts)``, which sorts them by length: 32 at
a time in the order of the file, and transformers in both ways.

*scores*: each token of 1,000 sentences of 8 to 12 words, drawn with a seed, behind a mask of its own. Beside
``bert.score(texts)``: one masked copy at a time through ``fill_mask`` and through transformers' ``BertForMaskedLM``, and
transformers with the copies of all sentences in batches of 32, sorted by length.

A text file gives the sentences, one a line; without one, the English that Python itself carries. They are cut into tokens
before the clock starts. Every competitor lives in a process of its own; they take turns. Both sides' scores are compared first.

    python -m benchmarks.scoring --text FILE               # the bundled vocabulary, 6 layers of width 384, random weights
    python -m benchmarks.scoring --text FILE --model DIR   # the weights of a folder; a head that it lacks is random
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minibert
from benchmarks import common
from benchmarks.inference import sentences
from minibert.api import Bert
from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.text import Encoding
from minibert.workers import keep_freed_memory

BATCH = 32  # texts, or copies, of those who do not choose
COMPETITORS = {
    "states": ("minibert", "minibert in file order", "transformers in file order", "transformers sorted"),
    "scores": ("minibert", "minibert a copy at a time", "transformers a copy at a time", "transformers batched"),
}
COUNTS = {"states": 2000, "scores": 1000}


def model(folder: str | None) -> Bert:
    bert = minibert.load(folder, device="cpu")
    if folder is not None:
        return Bert(bert.config, bert.parameters, bert.tokenizer)  # a random head is as fast as another
    config = BertConfig(vocab_size=len(bert.tokenizer.vocab), hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                        intermediate_size=1536)
    bert.tokenizer.max_length = config.max_tokens
    return Bert(config, pretraining.initial_parameters(config), bert.tokenizer)


def texts(bert: Bert, task: str, path: Path | None, count: int) -> list[Encoding]:
    """What is measured on, as tokens."""
    lines = sentences(path, 10**9)
    if task == "scores":
        lines = [line for line in lines if 8 <= len(line.split()) <= 12]
        lines = [lines[i] for i in np.random.default_rng(0).permutation(len(lines))]
    return [bert.tokenizer.encode(line, max_length=bert.config.max_tokens, truncate=True) for line in lines[:count]]


def minibert_turn(competitor: str, task: str, bert: Bert, given: list[Encoding], threads: int) -> Callable[[], Any]:
    if task == "states":
        if competitor == "minibert":
            return lambda: bert(given, hidden_states=True, threads=threads)
        return lambda: [bert(given[i:i + BATCH], hidden_states=True, batch_size=BATCH, threads=threads)
                        for i in range(0, len(given), BATCH)]
    if competitor == "minibert":
        return lambda: bert.score(given, threads=threads)
    tokens = bert.tokenizer.vocab.tokens
    return lambda: [np.log(dict(bert.fill_mask(ids, len(tokens)))[tokens[truth]]) for ids, _, truth in copies(bert, given)]


def copies(bert: Bert, given: Sequence[Encoding]) -> list[tuple[list[int], int, int]]:
    """(ids, where the mask is, what it hides) of every masked copy."""
    mask = bert.tokenizer.vocab.mask_id
    return [([*one.ids[:t], mask, *one.ids[t + 1:]], t, one.ids[t]) for one in given for t in range(1, len(one) - 1)]


def transformers_turn(competitor: str, task: str, bert: Bert, given: list[Encoding]) -> Callable[[], Any]:
    import torch

    from benchmarks import peers

    peer = peers.transformers_model(bert.config, "BertModel" if task == "states" else "BertForMaskedLM")
    prefix = "bert." if task == "states" else ""
    found = peer.load_state_dict({name.removeprefix(prefix): torch.from_numpy(np.array(value))
                                  for name, value in bert.parameters.items() if name.startswith((prefix, "cls.predictions"))},
                                 strict=False)
    assert all("decoder" in name or "position_ids" in name for name in found.missing_keys), found.missing_keys
    if task == "scores":
        peer.tie_weights()
    peer.eval()
    rows = [one.ids for one in given] if task == "states" else [ids for ids, _, _ in copies(bert, given)]
    size = 1 if competitor.endswith("a copy at a time") else BATCH
    order = list(range(len(rows))) if "file order" in competitor else sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    hidden = copies(bert, given)

    @torch.inference_mode()
    def turn() -> list[Any]:
        answers: list[Any] = [None] * len(rows)
        for start in range(0, len(rows), size):
            batch = order[start:start + size]
            width = max(len(rows[i]) for i in batch)
            ids = torch.tensor([rows[i] + [bert.tokenizer.vocab.pad_id] * (width - len(rows[i])) for i in batch])
            mask = torch.tensor([[1] * len(rows[i]) + [0] * (width - len(rows[i])) for i in batch])
            if task == "states":
                states = peer(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
                for row, i in enumerate(batch):
                    answers[i] = [h[row, :len(rows[i])].clone() for h in states]
                continue
            at, truth = (torch.tensor([hidden[i][part] for i in batch]) for part in (1, 2))
            logits = peer(input_ids=ids, attention_mask=mask).logits[torch.arange(len(batch)), at]
            for i, value in zip(batch, logits.log_softmax(-1)[torch.arange(len(batch)), truth].tolist()):
                answers[i] = value
        return answers

    return turn


def turn_of(competitor: str, task: str, options: Any) -> Callable[[], Any]:
    bert = model(options.model)
    given = texts(bert, task, options.text, options.sentences or COUNTS[task])
    if competitor.startswith("minibert"):
        keep_freed_memory()
        return minibert_turn(competitor, task, bert, given, options.threads)
    import torch

    torch.set_num_threads(options.threads)
    return transformers_turn(competitor, task, bert, given)


def measure(task: str, options: Any) -> dict[str, Any]:
    more = [part for name in ("text", "model", "sentences") if getattr(options, name)
            for part in (f"--{name}", str(getattr(options, name)))]
    rivals = {c: common.Rival("benchmarks.scoring", task, *more, "--threads", str(options.threads), "--serve", c)
              for c in COMPETITORS[task] if c in (*options.only, "minibert")}
    seconds = common.alternate(rivals, options.rounds, warmup=1, cpu=options.cpu)
    bert = model(options.model)
    lengths = [len(one) for one in texts(bert, task, options.text, options.sentences or COUNTS[task])]
    return {"task": task, "model": options.model and Path(options.model).name, "sentences": len(lengths),
            "time": "of the processor" if options.cpu else "by the clock", "tokens": {
        "mean": float(np.mean(lengths)), "longest": max(lengths)}, "seconds": seconds,
        "peak_memory": {c: rival.close() for c, rival in rivals.items()}}


def agree(options: Any) -> float:
    """The largest difference between the two sides' logarithms of a probability, in the first sentences."""
    bert = model(options.model)
    given = texts(bert, "scores", options.text, 16)
    ours = [x for one in bert.score(given) for x in one.log_probs]
    return float(np.abs(np.array(ours) - transformers_turn("transformers a copy at a time", "scores", bert, given)()).max())


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.set_defaults(rounds=3)
    parser.add_argument("tasks", nargs="*", default=list(COMPETITORS), metavar="TASK", help="states, scores")
    parser.add_argument("--text", type=Path, metavar="FILE", help="sentences, one a line")
    parser.add_argument("--model", metavar="DIR", help="a folder")
    parser.add_argument("--sentences", type=int, metavar="N", help="so many instead of 2,000 and 1,000")
    parser.add_argument("--only", nargs="+", choices=[c for some in COMPETITORS.values() for c in some], metavar="NAME",
                        default=[c for some in COMPETITORS.values() for c in some], help="some of them, beside minibert")
    parser.add_argument("--cpu", action="store_true", help="the processor's time, all threads together, not the clock's")
    parser.add_argument("--serve", help=common.argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return common.serve(turn_of(options.serve, options.tasks[0], options))
    common.need("torch", "transformers")
    where = common.machine(options.threads)
    print(common.describe(where), flush=True)
    print(f"scores differ by at most {agree(options):.1e}")
    results = []
    for task in options.tasks:
        result = measure(task, options)
        results.append(result)
        seconds, count = result["seconds"], result["sentences"]
        print(f"\n{task}: {count:,} sentences of {result['tokens']['mean']:.0f} tokens on average, at most "
              f"{result['tokens']['longest']}\n")
        common.table(["", "seconds", "sentences/s", "minibert is faster by", "GiB at peak"],
                     [[c, common.median(seconds[c]), count / common.median(seconds[c]),
                       common.ratio(seconds[c], seconds["minibert"]), result["peak_memory"][c] / 2**30] for c in seconds])
        path = common.write("scoring", where, results, options.json)
    print(f"\nfigures: {path}")


if __name__ == "__main__":
    main()
