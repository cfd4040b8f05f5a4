"""Several tasks one after another, or each stage with those before it: what is left of the first."""

from __future__ import annotations

import numpy as np

from benchmarks.miniatures._training import looks, mean
from minibert.data import corpora
from minibert.tasks.batches import held_out
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training.options import Settings

TERMS = {"next": "nsp", "order-apart": "order"}  # in the order of the stages
ASKS = ("A stage for next sentences and one for their order, each by a head of its own: alone (sequential), or with those before "
        "it (continual, as ERNIE 2.0), on made documents of a topic each, whose sentences say how many came before. How often "
        "next sentences are told rightly, after the first stage and at the end.")
CRITERION = "Continual training loses at most 3 points of the first task, sequential training at least 15."

STEPS, LENGTH, TOPICS, SENTENCES = 400, 18, 24, 10


def run(seed: int) -> dict[str, float]:
    train, kept, tokenizer = text(seed)
    at = {name: held_out(kept, tokenizer, max_length=LENGTH, max_tokens=1024, pairs=name) for name in TERMS}
    names, found = [*TERMS], {}
    for course, stages in {"first stage": [names[:1]], "sequential": [[name] for name in names],
                           "continual": [names[:i + 1] for i in range(len(names))]}.items():
        tables = tuple({"share": 1 / len(stages), "learning_rate": 5e-3, "task": [{"pairs": name} for name in stage]}
                       for stage in stages)
        settings = Settings(hidden=32, heads=2, max_length=LENGTH, batch_size=32, micro_batch_tokens=1024, lanes=1, seed=seed,
                            steps=STEPS * len(stages), stages=tables)
        asked = {name: at[name] for stage in stages for name in stage}
        for name, look in looks(settings, train, tokenizer, asked).items():
            found[f"{course}, {TERMS[name]} right"] = look.accuracy(TERMS[name])
    for course in ("sequential", "continual"):
        found[f"{course}, points lost"] = 100 * (found["first stage, nsp right"] - found[f"{course}, nsp right"])
    return found


def met(rows: list[dict[str, float]]) -> bool:
    """Whether the means over the seeds keep to the criterion."""
    return mean(rows, "continual, points lost") <= 3 and mean(rows, "sequential, points lost") >= 15


def text(seed: int) -> tuple[list, list, Tokenizer]:
    """Documents as numbers, to train on and held out, and whose numbers they are: a sentence is its number and two words."""
    rng = np.random.default_rng(seed)
    words = [*(f"topic{i}word{j}" for i in range(TOPICS) for j in range(2)), *(f"number{k}" for k in range(SENTENCES))]
    tokenizer = Tokenizer(Vocabulary([*SPECIAL, *words]), lower_case=False, cut=r"\w+")
    documents = [[tokenizer.ids(" ".join([f"number{k}", *(f"topic{topic}word{j}" for j in rng.integers(2, size=2))]))
                  for k in range(SENTENCES)] for topic in rng.integers(TOPICS, size=1000)]
    return *corpora.split(documents, 0.1, seed), tokenizer
