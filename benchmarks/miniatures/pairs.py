"""Sentence order against next sentences: what a model learns that is trained on one, judged by the other."""

from __future__ import annotations

from benchmarks.miniatures._training import looks, mean
from benchmarks.miniatures.forgetting import LENGTH, text
from minibert.tasks.batches import held_out
from minibert.training.options import Settings

ASKS = ("Pairs of next sentences (a b from another document, or not) or of their order (neighbours, exchanged or not), each "
        "model asked both, on made documents of a topic each, whose sentences say how many came before.")
CRITERION = ("Trained on next sentences it is at most 55 % right about the order; trained on the order it is at least 70 % right "
             "about next sentences.")

STEPS = 400


def run(seed: int) -> dict[str, float]:
    train, kept, tokenizer = text(seed)
    at = {name: held_out(kept, tokenizer, max_length=LENGTH, max_tokens=1024, pairs=name) for name in ("next", "order")}
    found = {}
    for name in at:
        settings = Settings(hidden=32, heads=2, max_length=LENGTH, batch_size=32, micro_batch_tokens=1024, lanes=1,
                            short_first=0.0, pairs=name, learning_rate=5e-3, steps=STEPS, seed=seed)
        for asked, look in looks(settings, train, tokenizer, at).items():
            found[f"trained on {name}, asked {asked}"] = look.nsp_accuracy
    return found


def met(rows: list[dict[str, float]]) -> bool:
    """Whether the means over the seeds keep to the criterion."""
    return mean(rows, "trained on next, asked order") <= 0.55 and mean(rows, "trained on order, asked next") >= 0.7
