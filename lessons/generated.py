"""A small model of the generated language, trained in a minute. For lessons 27, 28 and 29.

Every text is a single sentence, corrupted as in lesson 10: the exact posterior of a sentence costs a tenth of that of a
paragraph, and as a rule a sentence is never read twice, so nothing is learned by heart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import numpy as np

from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.pretrained import Loaded
from minibert.tasks import batches
from minibert.tasks.corruption.masking import Masked
from minibert.tasks.examples import IGNORE
from minibert.text import Tokenizer, Vocabulary
from minibert.text.vocabulary import SPECIAL
from minibert.training.adamw import learning_rate
from minibert.training.engine import Engine
from minibert.workers import Workers
from minibert.world import Seen, World
from minibert.world.floor import corrupt


def hidden(world: World, seed: int) -> Iterator[tuple[Seen, list[str]]]:
    """Sentences without end, as a model sees them, each with the words that stood at its targets."""
    rng = np.random.default_rng(seed)
    for words in world.texts(None, seed):
        yield corrupt(words, world.words, rng, single=True)


def masked(tokenizer: Tokenizer, seen: Seen, truth: Sequence[str]) -> Masked:
    """The same for the engine, with [CLS] in front and [SEP] behind."""
    vocab = tokenizer.vocab
    ids = np.array([vocab.cls_id, *(vocab.index[word] for word in seen.words), vocab.sep_id])
    return Masked(ids, len(ids), IGNORE, np.array(seen.targets) + 1, np.array([vocab.index[word] for word in truth]))


def train(world: World, steps: int, layers: int = 2, size: int = 64, few: int | None = None, seed: int = 0) -> Loaded:
    """A model after so many steps of 64 sentences; says five times how it is. ``few``: it reads no more than these, with the
    same words hidden, again and again."""
    tokenizer = Tokenizer(Vocabulary([*SPECIAL, *world.words]), lower_case=False, max_length=world.settings.longest + 2)
    config = BertConfig(vocab_size=len(tokenizer.vocab), hidden_size=size, num_hidden_layers=layers,
                        num_attention_heads=size // 32, intermediate_size=4 * size, max_position_embeddings=tokenizer.max_length,
                        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.05)
    endless, losses = hidden(world, 10**6 + seed), []
    if few is not None:
        endless = cycle(list(islice(endless, few)))
    with Workers() as workers:
        engine = Engine(pretraining.of(config), pretraining.initial_parameters(config, seed), workers)
        for step in range(1, steps + 1):
            examples = [masked(tokenizer, *one) for one in islice(endless, 64)]
            metrics, _ = engine.train(batches.micro_batches(examples), learning_rate(step, 3e-3, max(steps // 10, 1), steps))
            losses.append(metrics.mlm_loss)
            if step % max(steps // 5, 1) == 0:
                print(f"step {step:5}: {np.mean(losses[-50:]):.2f} nats a hidden word")
    return Loaded(config, engine.parameters, tokenizer)


def log_guesses(bert: Loaded, world: World, pairs: Sequence[tuple[Seen, list[str]]]) -> np.ndarray:
    """``(M, V)`` ln q of the world's words at all targets of ``hidden``, in order."""
    found, columns = [], [bert.tokenizer.vocab.index[word] for word in world.words]
    for start in range(0, len(pairs), 64):
        batch = batches.collate([masked(bert.tokenizer, *one) for one in pairs[start:start + 64]])
        z = pretraining.forward(pretraining.inputs(batch), bert.parameters.tree, bert.config)[0].logits.astype(float)  # (M, V)
        z = z - z.max(1, keepdims=True)
        found.append((z - np.log(np.exp(z).sum(1, keepdims=True)))[:, columns])
    return np.concatenate(found)
