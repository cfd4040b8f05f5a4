"""Smaller models from larger ones: recipes over a teacher and a student.

A recipe is a ``Model`` over the student's, with more terms of the loss (``distil``) or with other layers (``theseus``). The
engine trains it like any other, and its ``apart`` is what is left in the end: a plain, smaller model. ``prune`` takes
parts out first, and may end there. Two recipes train nothing: ``vocabulary`` and ``quantise`` are a conversion with a change.
"""
