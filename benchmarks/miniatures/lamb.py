"""Large batches: LAMB at 32 times the batch and a 32nd of the steps, against AdamW."""

from __future__ import annotations

from benchmarks.miniatures._training import looks, mean, world
from minibert.data import corpora
from minibert.tasks.batches import held_out
from minibert.training.options import Settings

ASKS = ("LAMB at 32 times the batch, at a rate of 0.02, against AdamW at 0.002, at equal tokens; and AdamW with the large batch, "
        "its rate times √32.")
CRITERION = "A held-out loss within 0.05 nats of AdamW's."

TIMES, BATCH, STEPS, LENGTH = 32, 8, 6400, 32
ADAMW = {"learning_rate": 2e-3}
LAMB = {"optimiser": "lamb", "learning_rate": 2e-2, "warmup": 0.1}
SAME = {"learning_rate": 2e-3 * TIMES**0.5}  # AdamW with the large batch, by the square-root rule


def run(seed: int) -> dict[str, float]:
    found = {"AdamW, nats": trained(seed, 1, **ADAMW), "LAMB at 32 times the batch, nats": trained(seed, TIMES, **LAMB),
             "AdamW at 32 times the batch, nats": trained(seed, TIMES, **SAME)}
    return {**found, "LAMB above AdamW": found["LAMB at 32 times the batch, nats"] - found["AdamW, nats"]}


def met(rows: list[dict[str, float]]) -> bool:
    """Whether the mean over the seeds keeps to the criterion."""
    return mean(rows, "LAMB above AdamW") <= 0.05


def trained(seed: int, times: int, **course: object) -> float:
    """The loss on held-out text, in nats a hidden word, after as many tokens in steps of ``times`` the batch."""
    documents, tokenizer = world()
    train, kept = corpora.split(documents, 0.02, seed)
    settings = Settings(corpus=("world",), max_length=LENGTH, batch_size=BATCH * times, next_sentence=False, cased=True, layers=2,
                        hidden=64, heads=2, steps=STEPS // times, short_first=0.0, micro_batch_tokens=512, lanes=1, seed=seed,
                        **course)
    batches = held_out(kept, tokenizer, max_length=LENGTH, next_sentence=False, max_tokens=512)
    return float(looks(settings, train, tokenizer, {"held out": batches})["held out"].mlm_loss)
