"""BERT written out by hand: every forward pass beside its backward pass.

>>> import minibert
>>> bert = minibert.load()                                              # the bundled model, or the folder of another
>>> bert.fill_mask("the [MASK] statement raises an exception.")         # [(word, probability), …]
>>> bert(["one sentence", ("a pair", "of sentences")]).last_hidden_state.shape        # (B, T, H)

Where is …

    one layer, forward and backward     layers/; as CUDA, kernels/
    the encoder, a block, a head        model/encoder.py, model/blocks/, model/heads/
    heads and losses put together       model/model.py; BERT of the paper: model/pretraining.py
    text to ids                         text/tokenizer.py; learning a vocabulary: text/learn.py
    where words are hidden              tasks/corruption/masking.py; sentence pairs: tasks/segments/next_sentence.py
    padding, micro-batches              tasks/batches.py; of labelled examples: tasks/labelled/features.py
    a task, its scores                  tasks/labelled/, tasks/labelled/metrics.py; its files: data/
    a step, the loop, the schedule      training/engine.py, training/loop.py, training/adamw.py
    checkpoints of others               pretrained/formats.py, pretrained/names.py, pretrained/families/
    what a model guesses, attends to    analysis/inside.py; from Python: api.py
    an option of the command line       commands/; of training: training/course.py, and options.py beside it
    cores and memory                    workers.py, memory.py
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api import Bert, load
    from .config import BertConfig
    from .text import Tokenizer

__all__ = ["Bert", "BertConfig", "Tokenizer", "__version__", "load"]

_HOME = {"load": "api", "Bert": "api", "BertConfig": "config", "Tokenizer": "text"}


def __getattr__(name: str) -> object:
    """Names are imported when they are first used (PEP 562), so that ``minibert --help`` need not wait for NumPy."""
    if name in _HOME:
        from importlib import import_module

        value = getattr(import_module(f"minibert.{_HOME[name]}"), name)
    elif name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value = version("minibert")
        except PackageNotFoundError:
            value = "unknown"  # run from a checkout that is not installed
    else:
        raise AttributeError(f"module 'minibert' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
