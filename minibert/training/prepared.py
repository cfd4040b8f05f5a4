"""Prepared examples as what a run learns from, in the place of text."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minibert.config import BertConfig
from minibert.data.corpora import Corpus
from minibert.data.prepared import shards
from minibert.data.prepared.instances import Instance, Wanted, original
from minibert.data.prepared.shards import KEPT_ASIDE, Part
from minibert.data.report import PERCENTILES, unigram_loss
from minibert.data.tokens.windows import Windows
from minibert.pretrained import families
from minibert.tasks import batches, prepared
from minibert.tasks.examples import arrays
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL
from minibert.training import texts
from minibert.training.objectives import OBJECTIVES, asked, further, marks, segments
from minibert.training.options import Settings
from minibert.training.runs import Say
from minibert.training.stages import SCHEDULE

LOOKED_AT, HELD_OUT_LOOKED_AT = 10_000, 500  # examples, for the report
OF_STEPS = {"share", "task", "weight", "batch_size", "accumulate", *SCHEDULE}  # what stages may say of prepared examples
_RUN = 8  # tokens; a text that shares so many in a row with another is taken to be of it


def is_prepared(settings: Settings) -> bool:
    """Whether the corpus of a run was prepared, at least a part of it."""
    return any(map(shards.is_prepared, settings.corpus))


def settled(settings: Settings, config: BertConfig, args: argparse.Namespace) -> Settings:
    """The settings for what the corpus is. ValueError for what is said of texts alone, where it was prepared.

    Of prepared examples the lengths are what they are.
    """
    if texts.is_prepared(settings):
        texts.check(settings, args)
        return settings
    if not is_prepared(settings):
        return settings
    if config.filter_sizes:
        raise ValueError(f"--corpus: {families.of(config).title} learns from the phrases of a text, and "
                         f"{' '.join(settings.corpus)} holds prepared examples: give the text itself")
    for name in ("short_first", "layout", "vocab_size"):
        if getattr(args, name, None):
            raise ValueError(f"--{name.replace('_', '-')} is for texts, and {' '.join(settings.corpus)} holds prepared examples, "
                             "which have been cut already: leave it out")
    if settings.mask_rate:
        raise ValueError(f"--mask-rate is for texts, and {' '.join(settings.corpus)} holds prepared examples: leave it out, or "
                         "train on the text itself")
    for stage in settings.stages:
        if said := sorted(name for table in (stage, *stage["task"]) for name in table.keys() - OF_STEPS):
            raise ValueError(f"--recipe {settings.recipe}: its stages say {said[0]}, which is for texts, and "
                             f"{' '.join(settings.corpus)} holds prepared examples, which have been cut already")
    if further(settings) or marks(settings) or (getattr(args, "pairs", None) and segments(settings).term is None):
        raise ValueError("--pairs, --words and --masking may ask of prepared examples only what these tell: whether b follows, "
                         "what is hidden by a rule that looks at ids alone; prepare the text anew, or train on the text itself")
    return replace(settings, short_first=0.0)


def options(text: Any, config: BertConfig, settings: Settings) -> dict[str, Any]:
    """What is asked of a text, or of prepared examples, whose masks are drawn anew where others are asked for than BERT's."""
    found = asked(config, settings)
    if isinstance(text, Part):
        del found["words"], found["pairs"]
        usual = OBJECTIVES["mlm"].hides(Settings())
        found["anew"] = any(found.get(name) != value for name, value in usual.items())
    return found


def once(text: Any) -> Any:
    """Documents as arrays, for all tasks that read them; what was prepared as it is."""
    return text if isinstance(text, (Part, Windows)) else arrays(text)


def stream(text: Any, tokenizer: Tokenizer, **options: Any) -> prepared.Stream | batches.Stream:
    """The stream of what a run reads: documents, or a part of prepared files."""
    return (prepared.Stream if isinstance(text, Part) else batches.Stream)(text, tokenizer, **options)


def held_out(text: Any, tokenizer: Tokenizer, **options: Any) -> list[batches.Batch]:
    """Batches for evaluation of either."""
    return (prepared if isinstance(text, Part) else batches).held_out(text, tokenizer, **options)


def read(settings: Settings, say: Say, tokenizer: Tokenizer | None) -> tuple[Corpus, Part, Part, Tokenizer, Report, list]:
    """The corpus without its text, its two parts, the tokenizer, a report, and some held-out sentences by example."""
    found = shards.find(settings.corpus, settings.held_out, settings.seed)
    say(str(found))
    tokenizer = tokenizer or _beside(settings.corpus)
    tokenizer.vocab.require("training", *SPECIAL)
    wanted = Wanted(tokenizer.vocab, settings.max_length)
    train, kept = found.train.some(wanted, LOOKED_AT), found.held_out.some(wanted, HELD_OUT_LOOKED_AT)
    report = Report.of(found, train, kept, tokenizer)
    say(f"\n{report}\n")
    return (Corpus(found.name, [], str(found), found.sha256), found.train, found.held_out, tokenizer, report,
            prepared.sentences(kept, tokenizer.vocab))


def _beside(sources: Sequence[str]) -> Tokenizer:
    """The tokenizer in the folder of the examples, where ``prepare`` puts it."""
    for folder in filter(Path.is_dir, map(Path, sources)):
        if (folder / "tokenizer_config.json").is_file():
            return Tokenizer.load(folder)
    raise ValueError(f"{' '.join(sources)}: prepared examples are numbers of a vocabulary, or its tokens, and it is not beside "
                     "them; name the one that they were made with (--vocab)")


@dataclass(frozen=True)
class Report:
    """What there is to know of prepared examples, by a sample of them; ``str`` of it is a table. Losses are in nats."""

    corpus: str
    examples: tuple[int, int]  # training, held out
    lengths: tuple[int, ...]  # tokens of an example, by PERCENTILES
    hidden: float | None  # share of the tokens that are to be guessed; None: no masks are given
    elsewhere: float  # share of the pairs whose label is 1; nan where there are no pairs
    unknown: float
    repeated: float  # share of the held-out runs of ``_RUN`` tokens that stand in training examples too
    vocabulary: int
    ln_vocabulary: float
    unigram_loss: float

    @classmethod
    def of(cls, found: shards.Prepared, train: Sequence[Instance], kept: Sequence[Instance], tokenizer: Tokenizer) -> Report:
        """Of a sample of both parts."""
        vocab, both = tokenizer.vocab, [*train, *kept]
        texts = [[ids[~np.isin(ids, vocab.special_ids)] for ids in map(original, part)] for part in (train, kept)]
        ids = np.concatenate(list(map(original, both)))
        pairs = [one.next_label for one in both if one.next_label is not None]
        masked = [one for one in both if one.positions is not None]
        return cls(
            found.name, (found.train.size, found.held_out.size),
            tuple(int(n) for n in np.percentile([len(one.ids) for one in both], PERCENTILES, method="higher")),
            sum(len(one.positions) for one in masked) / sum(len(one.ids) for one in masked) if masked else None,
            float(np.mean(pairs)) if pairs else float("nan"), float((ids == vocab.unk_id).mean()),
            _repeated(*texts), len(vocab), float(np.log(len(vocab))), unigram_loss(*map(np.concatenate, texts), len(vocab)))

    def __str__(self) -> str:
        percentiles = ", ".join(f"{p} % up to {n:,}" for p, n in zip(PERCENTILES[:-1], self.lengths))
        rows = [
            ("examples", f"{self.examples[0]:>11,}  to train on, {self.examples[1]:,} held out; by a sample of them:"),
            ("tokens an example", f"{percentiles}, longest {self.lengths[-1]:,}"),
            ("to be guessed", "drawn while training" if self.hidden is None else f"{self.hidden:>11.1%}  of tokens, as given"),
            *[("pairs with label 1", f"{self.elsewhere:>11.1%}")] * (self.elsewhere == self.elsewhere),
            ("unknown tokens", f"{self.unknown:>11.2%}"),
            ("loss of blind guessing", f"{self.ln_vocabulary:>11.2f}  ln V, V = {self.vocabulary:,}"),
            ("loss by frequency alone", f"{self.unigram_loss:>11.2f}  where a model that reads no context gets stuck"),
        ]
        warnings = [f"  warning: {self.repeated:.0%} of the held-out runs of {_RUN} tokens stand in training examples too, so "
                    "that held-out figures flatter: hold text out before it is prepared, in files whose names begin with "
                    f"{KEPT_ASIDE}"] * (self.repeated > 0.2)
        return "\n".join([f"Corpus: {self.corpus}", *(f"  {name:<24}{value}" for name, value in rows), *warnings])


def _repeated(train: Sequence[np.ndarray], kept: Sequence[np.ndarray]) -> float:
    """The share of the runs of tokens in the one that are in the other too; 0 where there are none."""
    ours, theirs = (np.concatenate([np.lib.stride_tricks.sliding_window_view(ids, _RUN).astype(np.uint64) @ _MIXED
                                    for ids in part if len(ids) >= _RUN] or [np.empty(0, np.uint64)]) for part in (kept, train))
    return float(np.isin(ours, theirs).mean()) if len(ours) else 0.0


_MIXED = np.random.default_rng(0).integers(0, 2**64, _RUN, np.uint64) | np.uint64(1)  # a run of tokens as one number
