"""Answers to lesson 16: for each suspect the check that fails."""

from dataclasses import replace

import numpy as np

import minibert
from minibert.config import BertConfig
from minibert.layers import cross_entropy, softmax
from minibert.model import pretraining
from minibert.tasks.corruption import masking


def depends_on_its_weights(linear):
    rng = np.random.default_rng(0)
    x, p = rng.standard_normal((2, 3)), {"weight": rng.standard_normal((4, 3)), "bias": rng.standard_normal(4)}
    y, _ = linear.forward(x, p)
    moved = [linear.forward(x, {**p, name: p[name] + 1})[0] for name in p]
    return np.array_equal(linear.forward(x, p)[0], y) and not any(np.allclose(z, y) for z in moved)


def carries_its_input(add_norm):
    rng = np.random.default_rng(0)
    x, first, second = rng.standard_normal((3, 2, 5))
    p = {"weight": np.ones(5), "bias": np.zeros(5)}
    return not np.allclose(add_norm.forward(x, first, p)[0], add_norm.forward(x, second, p)[0])


def adds_its_gradients(linear):
    rng = np.random.default_rng(0)
    p = {"weight": rng.standard_normal((4, 3)), "bias": rng.standard_normal(4)}
    _, cache = linear.forward(rng.standard_normal((2, 3)), p)
    dy, g = rng.standard_normal((2, 4)), {name: np.zeros_like(value) for name, value in p.items()}
    linear.backward(dy, cache, p, g)
    once = {name: value.copy() for name, value in g.items()}
    linear.backward(dy, cache, p, g)
    return all(np.allclose(g[name], 2 * once[name]) for name in g)


def hides_padding(additive_mask):
    rng = np.random.default_rng(0)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    shares, _ = softmax.forward(rng.standard_normal((2, 3, 5, 5)) + additive_mask(mask, np.float64))
    columns = np.broadcast_to(mask[:, None, None, :], shares.shape) == 1
    rows = np.broadcast_to(mask[:, None, :, None], shares.shape) == 1
    return bool((shares[rows & ~columns] < 1e-12).all() and (shares[rows & columns] > 1e-6).all())


def same_alone_and_padded(encode):
    model = minibert.load(dtype=np.float64)
    alone = encode(model, ["raises an error."])
    beside = encode(model, ["raises an error.", "the value of the key is returned if the key is found in the file."])
    return np.allclose(alone[0], beside[0, : alone.shape[1]])


def drops_nothing(evaluate):
    config = BertConfig(vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
                        max_position_embeddings=6, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    p = pretraining.initial_parameters(config, dtype=np.float64)
    p.flat *= 20
    ids = np.arange(5)[None]
    inputs = pretraining.Inputs(ids, np.zeros_like(ids), None, np.array([1, 2]), np.array([3, 4]))
    without = replace(config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return bool(np.isclose(evaluate(inputs, p, config), evaluate(inputs, p, without)))


def counts_every_pair(losses):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((2, 7)), np.array([3, 0])
    pairs, follows = rng.standard_normal((4, 2)), np.array([0, 1, 1, 0])
    before = losses(logits, labels, pairs, follows)[1]
    moved = []
    for b in range(len(pairs)):
        other = pairs.copy()
        other[b] += [1.0, -1.0]
        moved.append(not np.isclose(losses(logits, labels, other, follows)[1], before))
    return all(moved)


def asks_only_what_was_masked(label_slots):
    places, words = [np.array([1, 4]), np.array([2])], [np.array([7, 8]), np.array([9])]
    flat, labels = label_slots(places, words, 6, 3)
    asked = {(int(t), int(word)) for t, word in zip(flat, labels) if word != cross_entropy.IGNORE}
    return asked == {(1, 7), (4, 8), (8, 9)} and (labels != cross_entropy.IGNORE).sum() == 3


def leaves_special_tokens_alone(mask):
    tokenizer = minibert.load().tokenizer
    special = list(tokenizer.vocab.special_ids)
    rule = masking.rule(tokenizer, rate=1.0, mask_share=0.0, random_share=1.0)
    ids = np.resize(np.arange(len(tokenizer.vocab), dtype=np.int32), 20_000)
    seen, places, words = mask(ids, rule, (0, 0, 0))
    return not (np.isin(words, special).any() or np.isin(seen[places], special).any())


def masks_each_on_its_own(mask_batch):
    rule = masking.rule(minibert.load().tokenizer)
    rows = [np.arange(100, 160, dtype=np.int32) for _ in range(20)]
    chosen = {tuple(places) for _, places, _ in mask_batch(rows, rule, 0, 0)}
    return len(chosen) == len(rows)


def shares_its_table(initial_parameters):
    config = BertConfig(vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    p = initial_parameters(config)
    table, decoder = p["bert"]["embeddings"]["word_embeddings"]["weight"], p["cls"]["predictions"]["decoder"]["weight"]
    return table.shape == decoder.shape and np.shares_memory(table, decoder)


def averages_real_tokens(pool):
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal((2, 5, 3)), np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]])
    return np.allclose(pool(x, mask), [x[0, :2].mean(0), x[1, :4].mean(0)])
