"""All analyses on the model of the small generated language, and hidden states and attention of words beside the forward passes.

Each analysis in its quick form, in a process of its own: seconds of the processor, and the most memory it has held. The model is
made before the clock starts, with ``minibert analyse``'s own training where it is not kept yet. *collecting*: sentences to
the states of their words, or the attention between them, beside the forward passes alone, whose sentences are cut into tokens
already; by turns. What was measured is kept at once, a line of JSON each: after an interruption, name what is left.

    python -m benchmarks.analyses                                         # all of both kinds
    python -m benchmarks.analyses trees choices                           # some analyses
    python -m benchmarks.analyses collecting --model DIR --data FILE      # an encoder, and CoNLL-U or plain text
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minibert
from benchmarks import common
from minibert import batched
from minibert.analysis import analyses, collecting, subject, world_model
from minibert.text import forms
from minibert.workers import keep_freed_memory

FILE = common.RESULTS / "analyses.jsonl"
COLLECTING = "collecting"
PASSES = {"states": "forward passes", "attention": "forward passes with attention"}  # what each is compared with


def analysis(name: str) -> Callable[[], Any]:
    """A turn: one analysis of the model that ``minibert analyse`` keeps."""
    other = world_model.load("small", 1) if getattr(analyses.module(name), "COMPARES", False) else None
    some = subject.of(world_model.load("small"), quick=True, other=other)
    return lambda: analyses.run(name, some)


def way(name: str, options: Any) -> Callable[[], Any]:
    """A turn: all sentences, collected or just read."""
    bert = minibert.load(options.model, device="cpu") if options.model else world_model.load("small")
    texts = subject.of(bert, options.data).texts[:options.sentences]
    maps = name in ("attention", PASSES["attention"])
    if name in PASSES:
        wanted = {"states": None, "attentions": "mean"} if maps else {}
        return lambda: deque(collecting.collect(bert, texts, threads=options.threads, **wanted), maxlen=0)
    given = [forms.encode(bert.tokenizer, text, max_length=bert.max_length) for text in texts]
    return lambda: batched.each(bert, [len(one) for one in given], lambda batch: batched.answer(
        bert, [given[i] for i in batch], attentions=maps), threads=options.threads)


def measured(name: str, options: Any) -> dict[str, Any]:
    """Seconds of the processor and bytes at the peak: of one analysis, or of each way to collect."""
    more = [f"--{key}={getattr(options, key)}" for key in ("model", "data", "sentences") if getattr(options, key)]
    ways = [*PASSES.values(), *PASSES] if name == COLLECTING else [name]
    rivals = {one: common.Rival("benchmarks.analyses", *more, "--threads", str(options.threads), "--serve", one) for one in ways}
    rounds = options.rounds if name == COLLECTING else 1
    return {"seconds": common.alternate(rivals, rounds, warmup=0, cpu=True),
            "peak_memory": {one: rival.close() for one, rival in rivals.items()}}


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.set_defaults(rounds=3)
    parser.add_argument("names", nargs="*", default=[*analyses.NAMES, COLLECTING], metavar="NAME",
                        help=f"of an analysis, or {COLLECTING} (default: all)")
    parser.add_argument("--model", metavar="DIR", help="whose states are collected (default: the generated language's model)")
    parser.add_argument("--data", metavar="FILE", help="with --model: CoNLL-U or plain text")
    parser.add_argument("--sentences", type=int, default=2000, metavar="N", help="so many are collected, at most")
    parser.add_argument("--serve", help=common.argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        keep_freed_memory()
        return common.serve(analysis(options.serve) if options.serve in analyses.NAMES else way(options.serve, options))
    for name in set(options.names) - {COLLECTING}:
        analyses.module(name)
    path, where = options.json or FILE, common.machine(options.threads)
    print(common.describe(where), flush=True)
    rows, model = [], Path(options.model).name if options.model else "world-small"
    for name in options.names:
        watch = common.Watch()
        found = measured(name, options)
        about = {"model": model, "sentences": options.sentences} if name == COLLECTING else {"model": "world-small"}
        common.keep(path, {"name": name, **about, **found, "others": watch.others(), "machine": where}, ("name", "model"))
        for one, seconds in found["seconds"].items():
            alone = PASSES.get(one) if name == COLLECTING else None
            rows.append([one, common.median(seconds), common.ratio(seconds, found["seconds"][alone]) if alone else None,
                         found["peak_memory"][one] / 2**30])
            common.table(["", "CPU seconds", "of the forward passes", "GiB at peak"], rows[-1:])
    print(flush=True)
    common.table(["", "CPU seconds", "of the forward passes", "GiB at peak"], rows)
    print(f"\n{common.WHOLE.verdict()}\nfigures: {path}")


if __name__ == "__main__":
    main()
