"""The options of ``minibert demo``; nothing heavy is imported for them."""

from __future__ import annotations

import argparse

PORT = 8737
EXAMPLES = """\
examples:
  minibert demo
  minibert demo bert-base-uncased --text stories.txt
  minibert demo --watch runs/2026-11-22-221903
  minibert demo --export attention.html "they are not supported." "it is not supported."
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to a parser."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="folder of a run or of a BERT checkpoint (default: that of "
                        "--watch, else the model that comes with minibert)")
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help="where to listen, or the next port that is free "
                        f"(default: {PORT})")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="listen to other machines as well, for example at "
                        "0.0.0.0 (default: this machine only)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--watch", metavar="RUN", help="folder of a run, to see it learn, now or afterwards")
    parser.add_argument("--text", metavar="FILE", help="UTF-8 text in which neighbours are looked for (default: what was held "
                        "out of training)")
    parser.add_argument("--export", nargs="+", metavar=("FILE.html", "TEXT"), help="write the views of these texts into one file "
                        "that opens anywhere without a network, and leave")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")
