"""Sentence order against next sentences: what a model learns that is trained on one, judged by the other."""

from __future__ import annotations

from benchmarks.miniatures._training import looks, mean
from minibert.data import corpora
from minibert.pretrained import folder
from minibert.tasks.batches import held_out
from minibert.training.options import Settings

ASKS = ("The bundled model goes on with pairs of the documentation of Python, its head for them begun anew: next sentences (a b "
        "from another document) or their order (neighbours, exchanged or not); each is then asked both.")
CRITERION = ("Trained on next sentences it is at most 55 % right about the order; trained on the order it is at least 70 % right "
             "about next sentences.")

STEPS, LENGTH, HEAD = 1000, 64, "cls.seq_relationship."


def run(seed: int) -> dict[str, float]:
    found, bundled = {}, folder.bundled()
    tokenizer = folder.load(bundled).tokenizer
    corpus = corpora.read(["python-docs"])
    train, kept = ([[*tokenizer.ids_of(document)] for document in part] for part in corpora.split(corpus.documents, 0.05, 0))
    at = {name: held_out(kept, tokenizer, max_length=LENGTH, max_tokens=1024, max_examples=1000, pairs=name)
          for name in ("next", "order")}
    for name in at:
        model = folder.load(bundled)
        for tensor, values in model.parameters.items():
            if tensor.startswith(HEAD):
                values[...] = 0
        settings = Settings(max_length=LENGTH, batch_size=16, micro_batch_tokens=1024, lanes=1, short_first=0.0, pairs=name,
                            learning_rate=5e-4, steps=STEPS, seed=seed)
        for asked, look in looks(settings, train, tokenizer, at, (model.config, model.parameters)).items():
            found[f"trained on {name}, asked {asked}"] = look.nsp_accuracy
    return found


def met(rows: list[dict[str, float]]) -> bool:
    """Whether the means over the seeds keep to the criterion."""
    return mean(rows, "trained on next, asked order") <= 0.55 and mean(rows, "trained on order, asked next") >= 0.7
