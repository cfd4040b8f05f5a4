"""``python -m tools.bundle RUN``: make a finished run the model that ships with the package.

Written to ``minibert/bundled``: the model's folder in float16, the run's metrics, curve and guesses, and a README with the
command.
"""

from __future__ import annotations

import argparse
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from minibert.files import write_atomically
from minibert.pretrained import folder
from minibert.training import checkpoint
from minibert.training.loop import METRICS, read_rows
from minibert.training.options import Settings

TARGET = Path(__file__).parents[1] / "minibert" / "bundled"
LIMIT = 3_000_000  # bytes


def bundle(run: Path, target: Path = TARGET) -> int:
    """Copy a finished run made with default settings to ``target``, in float16. Returns its size in bytes.

    Raises ValueError for a run that is not complete, was made with other settings, or is too large.
    """
    state = checkpoint.load(run)
    progress = state.progress
    if progress.step < progress.total or not progress.total:
        raise ValueError(f"{run}: only {progress.step:,} of {progress.total:,} steps are done; finish it with --resume first")
    if replace(state.settings, lanes=None, micro_batch_tokens=None, recompute=False) != Settings():
        raise ValueError(f"{run}: its settings are not the defaults, so the README's command would not make it")
    shutil.rmtree(target, ignore_errors=True)
    folder.save(target, state.config, state.parameters, state.tokenizer, dtype=np.float16)
    for name in (METRICS, "loss.png", "guesses.txt"):
        shutil.copyfile(run / name, target / name)
    log = (run / "log.txt").read_text(encoding="utf-8").split("\n\nHeld-out sentences")[0]
    last = {name.removeprefix("held_out_"): value for name, value in read_rows(run / METRICS)[-1].items()
            if name.startswith("held_out_")}
    write_atomically(target / "README.md", README.format(
        steps=progress.total, tokens=progress.tokens, minutes=progress.seconds / 60, log=log.strip(),
        loss=last["mlm_loss"], perplexity=math.exp(last["mlm_loss"]), right=last["mlm_accuracy"], pairs=last["nsp_accuracy"]))
    size = sum(file.stat().st_size for file in target.iterdir())
    if size > LIMIT:
        raise ValueError(f"{target} has {size:,} bytes, more than the {LIMIT:,} that a bundled model may have")
    return size


README = """\
# The bundled model

A tiny BERT that answers when no other model is named. It learned from the English that every Python carries: the
language reference, and the docstrings and comments of the standard library. The command:

    python -m minibert train --recipe none

{steps:,} steps over {tokens:,} tokens, {minutes:.1f} minutes. On held-out text: {loss:.3f} nats a masked word
(perplexity {perplexity:.0f}), {right:.1%} of the masked words right, {pairs:.1%} of the sentence pairs.

`metrics.csv` and `loss.png` show the course, `guesses.txt` what it makes of held-out sentences. Weights are stored in float16.
The log of the run:

```
{log}
```
"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.bundle",
                                     description="Ship a finished run with the package.")
    parser.add_argument("run", type=Path, help="folder of a finished run of `python -m minibert train --recipe none`")
    print(f"{TARGET}: {bundle(parser.parse_args().run):,} bytes")


if __name__ == "__main__":
    main()
