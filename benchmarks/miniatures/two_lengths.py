"""Two lengths: nine tenths of the steps in short sequences, with as many tokens, and the rest in long ones."""

from __future__ import annotations

import time

from benchmarks.miniatures._training import looks, mean, world
from minibert.data import corpora
from minibert.tasks.batches import held_out
from minibert.training.options import Settings

LONG, SHORT, TOKENS, STEPS = 1024, 32, 2048, 600
ASKS = (f"{SHORT} tokens for 90 % of the steps and then {LONG}, against {LONG} all along, at equal tokens on the generated "
        "language, in CPU seconds; short ones begin at any position (--shift-positions).")
CRITERION = f"At least 30 % less time, and at {LONG} tokens a held-out loss at most 0.02 nats above."


def run(seed: int) -> dict[str, float]:
    documents, tokenizer = world()
    train, kept = corpora.split(documents, 0.02, seed)
    at = {"held out": held_out(kept, tokenizer, max_length=LONG, next_sentence=False, max_tokens=TOKENS)}
    short, found = {"share": 0.9, "max_length": SHORT, "batch_size": TOKENS // SHORT}, {}
    for name, stages in (("two lengths", (short, {"share": 0.1})), ("one length", ({"share": 1.0},))):
        settings = Settings(corpus=("world",), cased=True, layers=3, max_length=LONG, batch_size=TOKENS // LONG, lanes=1,
                            next_sentence=False, shift_positions=True, micro_batch_tokens=TOKENS, steps=STEPS, seed=seed,
                            stages=stages)
        begun = time.process_time()
        look = looks(settings, train, tokenizer, at)["held out"]  # which takes as long on both sides
        found |= {f"{name}, seconds": time.process_time() - begun, f"{name}, nats": float(look.mlm_loss)}
    return {**found, "time, two lengths as a share": found["two lengths, seconds"] / found["one length, seconds"],
            "loss, two lengths above one": found["two lengths, nats"] - found["one length, nats"]}


def met(rows: list[dict[str, float]]) -> bool:
    """Whether the means over the seeds keep to the criterion."""
    return mean(rows, "time, two lengths as a share") <= 0.7 and mean(rows, "loss, two lengths above one") <= 0.02
