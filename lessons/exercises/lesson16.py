"""Exercises of lesson 16, spot the bug: each asks for a check, which is tried on right parts and on wrong ones."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck import Pair
from lessons import suspects
from lessons.check import Wrong, exercise, expect
from minibert.layers import add_norm, cross_entropy, dropout, layernorm, linear
from minibert.layers.dropout import Key
from minibert.layers.softmax import MASKED, additive_mask
from minibert.model import bert, pretraining
from minibert.parameters import Layout, initialise
from minibert.tasks.corruption import masking


def _judge(answer: Callable[[Any], Any], right: dict[str, Any], suspect: Any, others: dict[str, Any], look: str) -> None:
    """Raises Wrong unless the check passes every right part, and fails the suspect and the others.

    ``others``: what a part does wrong -> the part. ``look``: what to change, count or ask twice."""
    for name, part in right.items():
        if not _verdict(answer, part, name):
            raise Wrong(f"it accuses {name}, which keeps its promise: does your check ask for more than the promise?")
    if _verdict(answer, suspect, "the suspect"):
        raise Wrong(f"it does not see what is wrong with the suspect: {look}")
    for fault, part in others.items():
        if _verdict(answer, part, "a second part"):
            raise Wrong(f"it misses a second part, which breaks the promise in another way: {fault}")


def _verdict(answer: Callable[[Any], Any], part: Any, name: str) -> bool:
    with np.errstate(all="ignore"):
        verdict = answer(part)
    expect(isinstance(verdict, bool | np.bool_), f"for {name}: expected True or False, got {verdict!r}")
    return bool(verdict)


@exercise("(linear)", look="The suspects", level="easy")
def depends_on_its_weights(answer):
    """A check for suspect 1, ``suspects.linear_1``. A part has forward(x, p) -> (y, cache) and backward(dy, cache, p, g) -> dx.

    True if its output is made of x and p = {"weight": (out, in), "bias": (out,)}, so that training p trains the layer.
    """
    def seeded(x, p):
        dense = {name: np.random.default_rng(0).normal(0, 0.02, value.shape).astype(x.dtype) for name, value in p.items()}
        return linear.forward(x, dense)

    def plain(x, p):
        return np.einsum("...i,oi->...o", x, p["weight"]) + p["bias"], linear.Cache(x)

    def biased(x, p):
        return linear.forward(x, {"weight": np.full_like(p["weight"], 0.02), "bias": p["bias"]})

    _judge(answer, {"the library's linear layer": linear, "a linear layer written with einsum": Pair(plain, linear.backward)},
           suspects.linear_1, {"it gives the same when asked twice, but does it use p?": Pair(seeded, linear.backward),
                               "the bias is used; are the weights?": Pair(biased, linear.backward)},
           "ask it twice, or change p: what moves?")


@exercise("(add_norm)", look="The suspects", level="easy")
def carries_its_input(answer):
    """A check for suspect 2, ``suspects.add_norm_2``. A part has forward(x, residual, p) -> (y, cache), p as of a layer norm.

    True if the output is made of the residual as well as of x.
    """
    def doubled(x, residual, p, eps=1e-12, rate=0.0, key=None):
        return add_norm.forward(x, x, p, eps, rate, key)

    def other_order(x, residual, p, eps=1e-12, rate=0.0, key=None):
        y, cache = layernorm.forward(x + residual, p, eps)
        return y, (dropout.Cache(None), cache)

    turned = Pair(other_order, add_norm.backward)
    _judge(answer, {"the library's add & norm": add_norm, "one that adds in the other order": turned},
           suspects.add_norm_2, {"something is added, but is it the residual?": Pair(doubled, add_norm.backward)},
           "change the residual: does the output move?")


@exercise("(linear)", look="The suspects", level="medium")
def adds_its_gradients(answer):
    """A check for suspect 3, ``suspects.linear_3``. A part has forward(x, p) -> (y, cache) and backward(dy, cache, p, g) -> dx.

    True if backward adds to g["weight"] and to g["bias"] what stood there before.
    """
    def half(kept):
        def backward(dy, cache, p, g):
            if g:
                g[kept][...] = 0
            return linear.backward(dy, cache, p, g)

        return Pair(linear.forward, backward)

    def plain(dy, cache, p, g):
        rows, x = dy.reshape(-1, dy.shape[-1]), cache.x.reshape(-1, cache.x.shape[-1])
        for n in range(len(rows) if g else 0):
            g["weight"] += np.outer(rows[n], x[n])
            g["bias"] += rows[n]
        return dy @ p["weight"]

    _judge(answer, {"the library's linear layer": linear, "one that adds row by row": Pair(linear.forward, plain)},
           suspects.linear_3, {"look at the gradient of the bias too": half("bias"),
                               "look at the gradient of the weight too": half("weight")},
           "call backward twice with the same g, or start with a g that is not zero")


@exercise("(additive_mask)", look="The suspects", level="easy")
def hides_padding(answer):
    """A check for suspect 4, ``suspects.additive_mask_4``. A part takes mask (B, T), 1 for tokens and 0 for padding, and a dtype.

    What it gives is added to scores (B, A, T, T), before each row goes through softmax. True if no token then takes anything
    from padding, and each still takes from every token.
    """
    def inverted(mask, dtype):
        return (np.asarray(mask) != 0).astype(dtype)[:, None, None, :] * MASKED

    def faint(mask, dtype):
        return (mask == 0).astype(dtype)[:, None, None, :] * -1.0

    def full(mask, dtype):
        return np.where(mask[:, None, None, :] == 0, -1e9, 0.0).astype(dtype) * np.ones((1, 1, mask.shape[1], 1), dtype)

    _judge(answer, {"the library's mask": additive_mask, "a mask of -1e9 with all four axes": full}, suspects.additive_mask_4,
           {"tokens are hidden, and padding is seen": inverted, "padding is made less likely; is that enough?": faint},
           "take random scores and a mask with zeros, and look at what softmax gives the padded columns")


@exercise("(encode)", look="The suspects", level="medium")
def same_alone_and_padded(answer):
    """A check for suspect 5, ``suspects.encode_5``. A part takes a ``minibert.Bert`` and a list of texts, and gives (B, T, H).

    True if a text's vectors are the same alone and beside a longer text.
    """
    def kept(model, texts):
        return model(texts).last_hidden_state

    def one_by_one(model, texts):
        states = [model([text]).last_hidden_state[0] for text in texts]
        return np.stack([np.pad(x, ((0, max(map(len, states)) - len(x)), (0, 0))) for x in states])

    def everything(model, texts):
        ids, types, mask = model.tokenizer.batch([model.tokenizer.encode(text) for text in texts])
        ones = np.ones_like(mask)
        return bert.forward(ids, types, ones, model.parameters["bert"], model.config)[0].last_hidden_state

    def first_mask(model, texts):
        ids, types, mask = model.tokenizer.batch([model.tokenizer.encode(text) for text in texts])
        shared = np.broadcast_to(mask.max(0), mask.shape)
        return bert.forward(ids, types, shared, model.parameters["bert"], model.config)[0].last_hidden_state * mask[:, :, None]

    _judge(answer, {"calling the model": kept, "one text at a time": one_by_one}, suspects.encode_5,
           {"its mask is all ones": everything, "all texts share one mask": first_mask},
           "encode a short text alone, then beside a long one, and compare its own tokens")


@exercise("(evaluate)", look="The suspects", level="medium")
def drops_nothing(answer):
    """A check for suspect 6, ``suspects.evaluate_6``. A part takes (inputs, p, config), as pretraining.forward, and gives a loss.

    True if nothing is dropped out, whatever the config's rates of dropout are.
    """
    def evaluate(inputs, p, config):
        return float(pretraining.forward(inputs, p, config)[0].loss)

    def fixed(inputs, p, config):
        return float(pretraining.forward(inputs, p, config, key=Key(0))[0].loss)

    def averaged(inputs, p, config):
        return float(np.mean([pretraining.forward(inputs, p, config, key=Key(s))[0].loss for s in range(3)]))

    _judge(answer, {"an evaluation without a key": evaluate}, suspects.evaluate_6,
           {"the same key each time gives the same loss, with the same numbers dropped": fixed,
            "the mean over several draws is not the whole model": averaged},
           "the config must have a rate of dropout; then ask twice, or compare with a config whose rates are 0")


@exercise("(losses)", look="The suspects", level="medium")
def counts_every_pair(answer):
    """A check for suspect 7, ``suspects.losses_7``: (logits, labels, next_logits, next_labels) -> (loss of words, loss of pairs).

    labels are filled up with 0, next_labels are 0 or 1. True if every pair has its say in the loss of pairs.
    """
    def right(logits, labels, next_logits, next_labels):
        labels = np.where(labels == 0, cross_entropy.IGNORE, labels)
        return cross_entropy.forward(logits, labels)[0], cross_entropy.forward(next_logits, next_labels)[0]

    def ones(logits, labels, next_logits, next_labels):
        words, _ = right(logits, labels, next_logits, next_labels)
        return words, cross_entropy.forward(next_logits, np.where(next_labels == 1, cross_entropy.IGNORE, next_labels))[0]

    def first(logits, labels, next_logits, next_labels):
        return right(logits, labels, next_logits[:1], next_labels[:1])

    _judge(answer, {"two losses with an ignore label of their own": right}, suspects.losses_7,
           {"pairs of the other class count, those of this one do not": ones, "only the first pair counts": first},
           "change the logits of one pair at a time, with labels 0 and 1 among them: does the loss of pairs move each time?")


@exercise("(label_slots)", look="The suspects", level="hard")
def asks_only_what_was_masked(answer):
    """A check for suspect 8, ``suspects.label_slots_8``: (positions, labels, T, slots) -> places and labels, B·slots of each.

    positions, labels: B arrays, one for each sentence. True if exactly the masked places take part in the loss, each with its
    word; all other labels must be ``cross_entropy.IGNORE``.
    """
    def right(positions, labels, T, slots, fill=cross_entropy.IGNORE, shift=True):
        flat = [b * T * shift + np.pad(row, (0, slots - len(row))) for b, row in enumerate(positions)]
        return np.concatenate(flat), np.concatenate([np.pad(row, (0, slots - len(row)), constant_values=fill) for row in labels])

    def cls(positions, labels, T, slots):
        return right(positions, labels, T, slots, fill=2)

    def unshifted(positions, labels, T, slots):
        return right(positions, labels, T, slots, shift=False)

    def backwards(positions, labels, T, slots):
        flat, words = right(positions, labels, T, slots)
        order = np.argsort(words == cross_entropy.IGNORE, kind="stable")
        return flat[order], words[order]

    _judge(answer, {"slots filled up with IGNORE": right, "the same in another order": backwards}, suspects.label_slots_8,
           {"its spare slots ask for [CLS]": cls, "look at the places too: those of the second sentence": unshifted},
           "sentences with different numbers of masked words: how many labels are not IGNORE?")


@exercise("(mask)", look="The suspects", level="medium")
def leaves_special_tokens_alone(answer):
    """A check for suspect 9, ``suspects.mask_9``: (ids, rule, key) -> (ids seen, places, words), as ``masking.mask``.

    True if [PAD], [UNK], [CLS], [SEP] and [MASK] are never chosen, and never put in as a random token.
    """
    def chosen(ids, rule, key):
        return masking.mask(ids, rule._replace(is_ordinary=np.ones_like(rule.is_ordinary)), key)

    def almost(ids, rule, key):
        everything = np.arange(1, len(rule.is_ordinary), dtype=np.int32)
        return masking.mask(ids, rule._replace(ordinary=everything), key)

    _judge(answer, {"the library's mask": masking.mask}, suspects.mask_9,
           {"what it puts in is ordinary; what does it choose?": chosen, "[PAD] is never put in; the others are": almost},
           "a rule with random_share=1.0, mask_share=0.0 and rate=1.0 makes every token a random one: is one of them special?")


@exercise("(mask_batch)", look="The suspects", level="medium")
def masks_each_on_its_own(answer):
    """A check for suspect 10, ``suspects.mask_batch_10``: (rows, rule, seed, step) -> (ids seen, places, words) of each row.

    True if the places that are chosen in one sentence do not follow from those of another.
    """
    def right(rows, rule, seed, step):
        return [masking.mask(ids, rule, (seed, step, i)) for i, ids in enumerate(rows)]

    def columns(rows, rule, seed, step):
        short = min(map(len, rows))
        _, places, _ = masking.mask(np.asarray(rows[0])[:short], rule, (seed, step, 0))
        return [(np.where(np.isin(np.arange(len(ids)), places), rule.mask_id, ids), places, ids[places]) for ids in rows]

    def pairs(rows, rule, seed, step):
        return [masking.mask(ids, rule, (seed, step, i // 2)) for i, ids in enumerate(rows)]

    _judge(answer, {"one key for each sentence": right}, suspects.mask_batch_10,
           {"one set of columns is masked in all rows": columns, "every second sentence copies its neighbour": pairs},
           "many rows of the same length: how many different sets of places are there?")


@exercise("(initial_parameters)", look="The suspects", level="medium")
def shares_its_table(answer):
    """A check for suspect 11, ``suspects.initial_parameters_11``: (config) -> ``Parameters`` of the whole model.

    True if the decoder's weight, cls.predictions.decoder.weight, and the table of words are one and the same array.
    """
    def own(config, seed=0):
        shapes = {slot.name: slot.shape for slot in pretraining.layout(config).slots.values()}
        shapes["cls.predictions.decoder.weight"] = (config.vocab_size, config.hidden_size)
        ties = {"cls.predictions.decoder.bias": "cls.predictions.bias"}
        return initialise(Layout(shapes, ties), config.initializer_range, seed)

    def copied(config, seed=0):
        parameters = pretraining.initial_parameters(config, seed)
        decoder = parameters["cls"]["predictions"]["decoder"]
        decoder["weight"] = decoder["weight"].copy()
        return parameters

    _judge(answer, {"the library's parameters": pretraining.initial_parameters}, suspects.initial_parameters_11,
           {"its decoder starts with numbers of its own": own, "its decoder is a copy": copied},
           "their numbers are equal at the start; change one, and look at the other")


@exercise("(pool)", look="The suspects", level="easy")
def averages_real_tokens(answer):
    """A check for suspect 12, ``suspects.pool_12``: x (B, T, H), mask (B, T) -> (B, H).

    True if it gives the mean over each sentence's tokens, however much padding stands behind them and whatever lies in it.
    """
    def right(x, mask):
        return (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)

    def one_by_one(x, mask):
        return np.stack([row[keep.astype(bool)].mean(0) for row, keep in zip(x, mask)])

    def short(x, mask):
        return (x * mask[:, :, None]).sum(1) / x.shape[1]

    def first(x, mask):
        return x[:, 0]

    def total(x, mask):
        return (x * mask[:, :, None]).sum(1)

    _judge(answer, {"a mean with the mask": right, "a mean, sentence by sentence": one_by_one}, suspects.pool_12,
           {"padding adds nothing to its sum; what does it divide by?": short, "the sum of the tokens is not their mean": total,
            "it is the first token's vector": first},
           "change what lies in the padding, or add more of it: does the result move?")
