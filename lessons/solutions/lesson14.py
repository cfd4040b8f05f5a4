"""Answers to lesson 14."""

import numpy as np

from minibert.model import pretraining


def offset_score(weights, offset):
    return np.diagonal(weights, offset, axis1=1, axis2=2).mean(-1)


def token_score(weights, ids, token):
    return (weights * (ids == token)[:, None, None, :]).sum(-1).mean((0, 2))


def tokens_read(weights):
    logs = np.log(np.where(weights > 0, weights, 1))
    return np.exp(-(weights * logs).sum(-1)).mean(-1)


def head_importance(d):
    return np.abs(d).mean(1)


def change_without(bert, x, layer, head):
    gates = np.ones((bert.config.num_hidden_layers, bert.config.num_attention_heads))
    gates[layer, head] = 0
    with_all, without = (float(pretraining.forward(x, bert.parameters.tree, bert.config, head_mask=mask)[0].mlm_loss)
                         for mask in (None, gates))
    return without - with_all
