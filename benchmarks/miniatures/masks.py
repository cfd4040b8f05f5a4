"""Dynamic masks: a text that is read many times is asked for other words each time."""

from __future__ import annotations

from benchmarks.miniatures._training import looks, mean, world
from minibert.tasks.batches import held_out
from minibert.training.options import Settings

ASKS = ("Masks drawn anew in each epoch against the same masks in all of them: 96 epochs of 1,000 sentences of the generated "
        "language, each an example by itself, and the loss on 1,000 others.")
CRITERION = "Dynamic masks end at least 0.3 nats lower."

SENTENCES, EPOCHS, BATCH, LENGTH = 1000, 96, 50, 32


def run(seed: int) -> dict[str, float]:
    documents, tokenizer = world(40_000, seed)
    sentences = [[sentence] for document in documents for sentence in document]
    train, others = sentences[:SENTENCES], sentences[SENTENCES:2 * SENTENCES]
    asked = {"max_length": LENGTH, "pairs": "doc-sentences"}
    at = {"held out": held_out(others, tokenizer, max_tokens=1024, **asked)}
    found = {}
    for name, static in (("dynamic", False), ("static", True)):
        settings = Settings(corpus=("world",), cased=True, batch_size=BATCH, micro_batch_tokens=2048, lanes=1, short_first=0.0,
                            static_masks=static, dupe_factor=1, steps=EPOCHS * SENTENCES // BATCH, seed=seed, **asked)
        found[f"{name}, nats"] = float(looks(settings, train, tokenizer, at)["held out"].mlm_loss)
    return {**found, "gap, nats": found["static, nats"] - found["dynamic, nats"]}


def met(rows: list[dict[str, float]]) -> bool:
    """Whether the mean gap over the seeds is as large as claimed."""
    return mean(rows, "gap, nats") >= 0.3
