"""The tokenizer of a run: the one that a setting names, that of the language, or one that is learned from the text.

A family has a kind of vocabulary, and each kind is learned in its own way.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from minibert.files import write_atomically
from minibert.pretrained import families
from minibert.text import learn, learn_unigram, saved_unigram, spm
from minibert.text.bytepairs import BytePairs
from minibert.text.frame import ROBERTA
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary
from minibert.training.options import Settings
from minibert.training.runs import Say


def tokenizer_of(settings: Settings, sentences: Sequence[str], words: Sequence[str], say: Say) -> Tokenizer:
    """The one that the settings name a vocabulary for, else one of the kind that the family has, learned from the text.

    ``words``: all that there are, where the corpus has a vocabulary of its own.
    """
    if settings.vocab and Path(settings.vocab).is_dir():
        return Tokenizer.load(settings.vocab)
    if settings.vocab:
        vocabulary = Vocabulary.load(settings.vocab)
        return Tokenizer(vocabulary, lower_case=settings.lower_case, cut=settings.cut, notes=vocabulary.notes)
    if words:
        say(f"The vocabulary is that of the language: {len(words):,} words.")
        return Tokenizer(Vocabulary([*SPECIAL, *words]), lower_case=False)
    pieces, learned = LEARNED[families.FAMILIES[settings.family].vocabulary]
    say(f"Learning a vocabulary of {'at most ' if settings.cut else ''}{settings.vocab_size:,} "
        f"{'tokens' if settings.cut else pieces} …")
    return learned(sentences, settings)


def layout_of(settings: Settings, tokenizer: Tokenizer | None = None) -> str:
    """How texts are laid out, as far as it is known before they are read: what is no prose, such as molecules, has no sentences.

    ``tokenizer``: that of a run that has one.
    """
    cut = tokenizer.cut if tokenizer else settings.cut
    return "lines" if cut and settings.layout == "auto" else settings.layout


def _word_pieces(sentences: Sequence[str], settings: Settings) -> Tokenizer:
    vocabulary = learn.learn(sentences, settings.vocab_size, lower_case=settings.lower_case, cut=settings.cut)
    return Tokenizer(vocabulary, lower_case=settings.lower_case, cut=settings.cut)


def _byte_pairs(sentences: Sequence[str], settings: Settings) -> Tokenizer:
    vocabulary, merges = learn.learn_bpe(sentences, settings.vocab_size)
    return Tokenizer(vocabulary, method=BytePairs, frame=ROBERTA, merges=merges)


def _unigram_pieces(sentences: Sequence[str], settings: Settings) -> Tokenizer:
    """One is made as the files of a folder, and opened: what the classes of transformers add to a model stands in its reader."""
    family = families.FAMILIES[settings.family]
    kind = saved_unigram.FAMILIES[f"{family.classes}Tokenizer"]
    added = len(kind.before) - kind.without + len(kind.behind)
    learned = learn_unigram.learn_unigram(sentences, settings.vocab_size - added,
                                          meta=learn_unigram.META if kind.before else learn_unigram.ALBERT)
    with tempfile.TemporaryDirectory() as folder:
        spm.write(Path(folder, kind.model), learned)
        write_atomically(Path(folder, "tokenizer_config.json"), json.dumps(
            {"tokenizer_class": f"{family.classes}Tokenizer", "do_lower_case": settings.lower_case}))
        return Tokenizer.load(folder)


#: The file of a family that holds its vocabulary: what its tokens are called, and how a tokenizer is learned.
LEARNED = {"vocab.txt": ("word pieces", _word_pieces), "vocab.json": ("byte pairs", _byte_pairs),
           "spiece.model": ("unigram pieces", _unigram_pieces), "sentencepiece.bpe.model": ("unigram pieces", _unigram_pieces)}
