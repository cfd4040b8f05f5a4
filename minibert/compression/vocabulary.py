"""A model without the words that nobody will ask it for: its table of words holds what a corpus uses, and nothing else.

Kept are the pieces that the corpus is cut into, the special and added tokens, and all single characters, so that other words can
still be spelled. WordPiece takes the longest piece that fits: a piece that it took stays the longest when others go. So the
corpus is cut as before, and its hidden states stay as they were to the last bit.

In a small model most numbers are in this table: 88 % of a tiny BERT with 30,522 words.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path

from minibert.compression.options import Settings
from minibert.convert import Copy, convert
from minibert.data import corpora
from minibert.pretrained.folder import tokenizer_of
from minibert.text.tokenizer import Tokenizer
from minibert.text.words import WordPieces

WORDS = ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias", "cls.predictions.extra.weight",
         "cls.predictions.decoder.weight", "cls.predictions.decoder.bias")  # with a row for each word, as far as a file has them


def run(args: argparse.Namespace, recipe: Settings) -> int:
    """Do what ``compress vocabulary`` asks for. The exit code."""
    tokenizer = tokenizer_of(Path(recipe.teacher), recipe.weights)
    corpus = corpora.read(list(getattr(args, "corpus", ())), layout=getattr(args, "layout", "auto"))
    print(corpus.description)
    used = {i for ids in tokenizer.ids_of(s for document in corpus.documents for s in document) for i in ids}
    kept = to_keep(tokenizer, used)
    for line in convert(recipe.teacher, args.out, weights=recipe.weights, change=lambda it: cut(it, kept)):
        print(line)
    print(f"{len(kept):,} of {len(tokenizer.vocab):,} tokens are kept; {len(used):,} stand in the corpus.")
    return 0


def to_keep(tokenizer: Tokenizer, used: Collection[int]) -> list[int]:
    """The ids of the tokens that stay, in their order. ValueError for a tokenizer that is not WordPiece."""
    if not isinstance(tokenizer.method, WordPieces):
        raise ValueError(f"the vocabulary of {tokenizer.vocab.source} is none of word pieces: other kinds cut a text differently "
                         "when pieces go, so only word pieces can be taken out")
    vocab = tokenizer.vocab
    added = {vocab.index[token.content] for token in tokenizer.added} | {*range(len(vocab) - vocab.added, len(vocab))}
    letters = {i for i, token in enumerate(vocab.tokens) if len(token.removeprefix("##")) == 1}
    return sorted({*used, *vocab.special_ids, *added, *letters})


def cut(it: Copy, kept: list[int]) -> Copy:
    """The model with the rows of these tokens alone."""
    arrays = {name: x[kept] if name in WORDS else x for name, x in it.arrays.items()}
    tokenizer = Tokenizer.remade([it.tokenizer.vocab.tokens[i] for i in kept], it.tokenizer.described())
    return it._replace(arrays=arrays, tokenizer=tokenizer,
                       config=it.config.replace(vocab_size=len(kept), pad_token_id=tokenizer.vocab.pad_id))
