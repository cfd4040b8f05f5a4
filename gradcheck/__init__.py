"""A numerical gradient checker for layers written by hand, and the suite of everything in minibert that it checks.

    import gradcheck
    from minibert.layers import layernorm

    gradcheck.check(layernorm, {"x": x}, {"weight": gamma, "bias": beta})     # silent, or an error that says where

``python -m gradcheck`` checks every layer and prints a table. The checker (``gradcheck.checker``) knows nothing of
BERT; ``gradcheck.suite`` does.
"""

from gradcheck.checker import GradientError, Pair, Result, check, ucurve

__all__ = ["GradientError", "Pair", "Result", "check", "ucurve"]
