"""The order of three words: a model that was asked to restore it, and one that learned masked words alone."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.miniatures._training import looks, mean, world
from minibert.data import corpora
from minibert.tasks.batches import held_out
from minibert.training.options import Settings

ASKS = ("Three neighbours in another order, and the word that stood at each place asked of the masked-word head: learned with "
        "this question beside masked words, against masked words alone, in as many steps on sentences of the generated language.")
CRITERION = "At least 80 % of the words are put back by the one, at most 40 % by the other."

STEPS, LENGTH, BATCH = 1500, 32, 64


def run(seed: int) -> dict[str, float]:
    documents, tokenizer = world(500_000, seed)
    train, kept = ([[sentence] for document in part for sentence in document] for part in corpora.split(documents, 0.02, seed))
    at = {"held out": held_out(kept, tokenizer, max_length=LENGTH, max_tokens=1024, max_examples=1500, pairs="doc-sentences",
                               words=["trigrams"])}
    found = {}
    asked = Settings(corpus=("world",), cased=True, max_length=LENGTH, batch_size=BATCH, micro_batch_tokens=1024, lanes=1,
                     short_first=0.0, pairs="doc-sentences", words=("trigrams",), steps=STEPS, seed=seed)
    for name, settings in (("asked", asked), ("not asked", replace(asked, words=()))):
        look = looks(settings, train, tokenizer, at, judged=asked)["held out"]
        found |= {f"{name}, masked words right": look.mlm_accuracy, f"{name}, order restored": look.accuracy("trigrams")}
    return found


def met(rows: list[dict[str, float]]) -> bool:
    """Whether the means over the seeds keep to the criterion."""
    return mean(rows, "asked, order restored") >= 0.8 and mean(rows, "not asked, order restored") <= 0.4
