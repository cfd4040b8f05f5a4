"""Large batches: LAMB at 32 times the batch and a 32nd of the steps, against AdamW."""

from __future__ import annotations

from benchmarks.miniatures._training import looks, mean
from benchmarks.miniatures.forgetting import text
from minibert.tasks.batches import held_out
from minibert.training.options import Settings

ASKS = ("LAMB at 32 times the batch, at a rate of 0.04, against AdamW at 0.002, at equal tokens of a made language that so few "
        "steps can learn; and AdamW with the large batch, its rate times √32.")
CRITERION = "A held-out loss within 0.05 nats of AdamW's."

TIMES, BATCH, STEPS, LENGTH = 32, 8, 3200, 18
ADAMW = {"learning_rate": 2e-3}
LAMB = {"optimiser": "lamb", "learning_rate": 4e-2, "warmup": 0.1}
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
    train, kept, tokenizer = text(seed)
    settings = Settings(max_length=LENGTH, batch_size=BATCH * times, next_sentence=False, hidden=32, heads=2,
                        steps=STEPS // times, short_first=0.0, micro_batch_tokens=1024, lanes=1, seed=seed, **course)
    batches = held_out(kept, tokenizer, max_length=LENGTH, next_sentence=False, max_tokens=1024)
    return float(looks(settings, train, tokenizer, {"held out": batches})["held out"].mlm_loss)
