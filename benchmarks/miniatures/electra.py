"""Replaced words against masked words at equal compute, judged by a task of few labels."""

from __future__ import annotations

import tempfile
from itertools import cycle
from pathlib import Path
from types import ModuleType

import numpy as np

from benchmarks.miniatures._training import mean
from benchmarks.miniatures.several_tasks import scores, tuned, written
from minibert import pretrained
from minibert.config import BertConfig
from minibert.memory import parameter_counts
from minibert.model import joint, pretraining
from minibert.model.model import Model
from minibert.parameters import Parameters, initialise
from minibert.pretrained import families
from minibert.tasks.batches import Position, Stream, micro_batches
from minibert.tasks.corruption import masking, replaced
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training.adamw import learning_rate
from minibert.training.engine import Engine
from minibert.workers import Workers
from minibert.world import World, task_files

LABELS, DRAWS, TEST = 100, 3, 300
ASKS = ("One body of the small generated language, pre-trained beside a generator of a quarter of its width (replaced words) or "
        "by masked words, for as many multiplications; then, from few labels, over a few draws of them: which sentences are "
        "praise, and which are right (agreement, reflexives, polarity items).")
CRITERION = "With replaced words the accuracy from few labels is higher in both, as a mean over the seeds."

STEPS, LENGTH, BATCH, RATE, SHARE = 2500, 32, 32, 3e-3, 0.25  # of the run with replaced words
FEW = ("--epochs", "20", "--batch-size", "8", "--eval-every", "1000")  # one look at the test set, at the end


def run(seed: int) -> dict[str, float]:
    world = World.of("small")
    tokenizer = Tokenizer(Vocabulary([*SPECIAL, *world.words]), lower_case=False)
    documents = [[tokenizer.ids(sentence) for sentence in world.sentences(document)]
                 for document in world.documents(500_000, seed)]
    config = families.preset("electra", "small", vocab_size=len(tokenizer.vocab), hidden_size=64, embedding_size=None,
                             num_hidden_layers=2, num_attention_heads=2, intermediate_size=256, max_position_embeddings=64,
                             hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.07)
    words, both = config.replace(objectives=("mlm",)), joint.of(config, joint.smaller(config, SHARE))
    ratio = (work(config) + work(both.smaller)) / work(words)
    found: dict[str, float] = {"steps of masked words for one of replaced words": ratio}
    sentiment, pairs = (task_files.rows(world.language, name, "train", TEST + DRAWS * LABELS, seed)
                        for name in ("sentiment", "pairs"))
    right = [{"text": pair[label], "label": label} for pair, label in zip(pairs, cycle(("good", "bad")))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for called, model, hides, steps in (("replaced words", both, replaced, STEPS),
                                            ("masked words", pretraining.of(words), masking, round(ratio * STEPS))):
            its, parameters = trained(model, documents, tokenizer, hides, steps, seed)
            pretrained.save(folder / called, its, parameters, tokenizer)
            for asked, rows in (("praise", sentiment), ("right", right)):
                written(folder / "test.tsv", rows[:TEST])
                scored = []
                for draw in range(DRAWS):
                    written(folder / "few.tsv", rows[TEST + draw * LABELS:][:LABELS])
                    out = folder / f"{called}-{asked}-{draw}"
                    tuned("classify", folder / called, out, seed, "--train", folder / "few.tsv", "--dev", folder / "test.tsv",
                          *FEW)
                    scored.append(scores(out)["accuracy"])
                found[f"{asked}, {called}"] = float(np.mean(scored))
    return found


def met(rows: list[dict[str, float]]) -> bool:
    """Whether the mean over the seeds is higher."""
    return all(mean(rows, f"{asked}, replaced words") > mean(rows, f"{asked}, masked words") for asked in ("praise", "right"))


def work(config: BertConfig) -> float:
    """Multiplications for a token, forwards, but for attention: of the layers, and of the head where it is asked."""
    counts = parameter_counts(config)
    return counts["layers"] + counts["projection"] + counts["replaced"] + 0.15 * config.vocab_size * config.embedding_width * (
        "mlm" in config.objectives)


def trained(model: Model, documents: list, tokenizer: Tokenizer, hides: ModuleType, steps: int, seed: int
            ) -> tuple[BertConfig, Parameters]:
    """The body that is fine-tuned, after so many steps."""
    reads = Stream(documents, tokenizer, max_length=LENGTH, batch_size=BATCH, seed=seed, next_sentence=False, corruption=hides)
    at = Position()
    with Workers(1) as workers:
        engine = Engine(model, initialise(model.layout(), model.config.initializer_range, seed), workers, seed=seed)
        for step in range(1, steps + 1):
            examples, at = reads.batch(at)
            engine.train(micro_batches(examples, 1024), learning_rate(step, RATE, steps // 10, steps))
        parts = model.apart(engine.parameters)
    return parts.get(joint.DISCRIMINATOR) or parts[""]
