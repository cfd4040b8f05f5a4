"""What the scoreboard's reaction BERT reads: reactions that lesson 23's rules make up, one a line; or its rule for tokens.

    python -m tools.reactions > reactions.txt
    python -m minibert convert RXNFP rxnfp --cut "$(python -m tools.reactions --cut)"    # RXNFP: its folder bert_pretrained

The first 25 are short, since ``flow`` asks for 20 texts of few tokens.
"""

from __future__ import annotations

import argparse
import re

import numpy as np

from lessons import reactions

DRAWN, COUNT, SHORT, TOKENS = 2000, 100, 25, 12


def texts() -> list[str]:
    """``COUNT`` different reactions, the first ``SHORT`` of at most ``TOKENS`` tokens."""
    drawn = [reactions.make(np.random.default_rng((0, i)), sizes=(1, 2 + i % 4)).text for i in range(DRAWN)]
    different = list(dict.fromkeys(drawn))
    short = [text for text in different if len(re.findall(reactions.CUT, text)) <= TOKENS][:SHORT]
    return [*short, *[text for text in different if text not in short][:COUNT - SHORT]]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.reactions", description=__doc__.splitlines()[0])
    parser.add_argument("--cut", action="store_true", help="print the rule for tokens, and no reactions")
    print(reactions.CUT if parser.parse_args().cut else "\n".join(texts()))


if __name__ == "__main__":
    main()
