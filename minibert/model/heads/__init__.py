"""Heads: what stands on the body of a model and turns its states into logits. One module each.

A head is a pair with what a model must know to put it in its place::

    PATH                                where its tensors are called so, unless a model says otherwise; empty where it has none
    READS                               which output of the body it reads, unless a model says otherwise
    INPUTS                              which of the model's inputs it takes besides
    shapes(config, outputs)             name -> shape
    ties(path)                          a name under ``path`` -> the name whose tensor it shares; only where there are any
    forward(x, *inputs, p, config, key) -> logits, cache      and options by name, where a model gives some
    backward(dlogits, cache, p, g)      -> dx
"""
