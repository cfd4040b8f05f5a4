"""``minibert demo``: open the page, watch a run, or write one file."""

from __future__ import annotations

import argparse
import ipaddress
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.commands import terminal

if TYPE_CHECKING:
    from minibert.pretrained import Trained

SUMMARY = "a page in the browser that looks inside a model, live"
TEXT = """\
Open a page that shows what a model guesses, where it looks, what its guesses rest on, and how it
learned. It runs on this machine, needs no network, and answers nobody else.
"""
EXAMPLES = """\
examples:
  minibert demo
  minibert demo bert-base-uncased --text stories.txt
  minibert demo runs/teacher --beside runs/student
  minibert demo --watch runs/2026-11-22-221903
  minibert demo --export attention.html "they are not supported." "it is not supported."
"""

PORT = 8737


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="folder of a run or of a BERT checkpoint (default: that of "
                        "--watch, else the model that comes with minibert)")
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help="where to listen, or the next port that is free "
                        f"(default: {PORT})")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="listen to other machines as well, for example at "
                        "0.0.0.0 (default: this machine only)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--watch", metavar="RUN", help="folder of a run, to see it learn, now or afterwards")
    parser.add_argument("--beside", metavar="DIR", help="folder of a second model with the same vocabulary, such as a student of "
                        "the first: what both of them guess is shown side by side")
    parser.add_argument("--text", metavar="FILE", help="UTF-8 text in which neighbours are looked for (default: what was held "
                        "out of training)")
    parser.add_argument("--export", nargs="+", metavar=("FILE.html", "TEXT"), help="write the views of these texts into one file "
                        "that opens anywhere without a network, and leave")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")
    terminal.add_files(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for. The exit code: 0."""
    import minibert
    from minibert.workers import Workers, keep_freed_memory

    if args.export:
        return _export(args)
    if not 0 <= args.port <= 65535:
        raise ValueError(f"--port must be from 0 to 65535, got {args.port}")
    if args.text and not Path(args.text).is_file():
        raise FileNotFoundError(f"--text {args.text}: there is no such file")
    try:
        from minibert.demo import server
        from minibert.demo.views import Views
    except ModuleNotFoundError as error:
        raise RuntimeError(f"the demo needs the package {error.name}: pip install \"minibert[demo]\", or in "
                           "a checkout: pip install -r requirements.txt") from None
    keep_freed_memory()
    watch = None
    if args.watch:
        from minibert.demo.watch import Run

        watch = Run(args.watch)
    folder = args.model or (args.watch if args.watch and (Path(args.watch) / "model.safetensors").is_file() else None)
    bert = minibert.load(folder, args.device, weights=args.weights, heads=args.heads)
    bert.require_tokens()
    for note in bert.notes:
        print(f"note: {note}", file=sys.stderr)
    name = "the model that comes with minibert" if folder is None else Path(folder).resolve().name
    if folder is not None and folder == args.watch:
        name += ", as it was when the demo started"
    beside = minibert.load(args.beside, args.device) if args.beside else None
    views = Views(bert, name, lambda: held_out(bert, args.text), beside)
    socket = server.bound(args.host, args.port)
    port = socket.getsockname()[1]
    if args.port not in (0, port):
        print(f"port {args.port} is in use, so the page is at {port}")
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(args.host, args.host)
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
    loopback = _is_loopback(args.host)
    print(f"{bert}\nThe page is at {address}   (Ctrl-C ends it)")
    if not loopback:
        print(f"NOTE: every machine that can reach this one at {args.host} can open the page and ask the model.")
    sys.stdout.flush()

    def open_browser() -> None:
        if not args.no_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    app = server.application(views, watch=watch and watch.report, loopback=loopback)
    with Workers():  # one thread of BLAS a request: several that wait for each other are slow on a machine with other work
        server.Server(app, open_browser).run(sockets=[socket])
    return 0


def held_out(bert: Trained, path: str | None) -> tuple[str, Sequence[str]]:
    """(what it is called, sentences) of the teacher's text, or of what the model's run held out of its training."""
    from minibert.data import corpora
    from minibert.pretrained import bundled

    if path is not None:
        from minibert.data.sentences import split_sentences
        from minibert.files import decode_utf8

        text = decode_utf8(Path(path).read_bytes(), path)
        return Path(path).name, [sentence for line in text.splitlines() for sentence in split_sentences(line)]
    names, layout, seed, share = ["python-docs"], "auto", 0, 0.05
    if bert.folder is not None and Path(bert.folder) != bundled():
        from minibert.training import checkpoint

        try:
            settings = checkpoint.load(bert.folder).settings
            names, layout, seed, share = list(settings.corpus), settings.layout, settings.seed, settings.held_out
        except (OSError, ValueError):  # a checkpoint from elsewhere
            pass
    if "-" in names:
        raise ValueError("the run read its text from standard input, which is gone; name a text with --text")
    corpus = corpora.read(names, layout=layout)
    _, documents = corpora.split(corpus.documents, share, seed)
    return f"the held-out text of {corpus.name}", [sentence for document in documents for sentence in document]


def _export(args: argparse.Namespace) -> int:
    import minibert
    from minibert.demo import export

    path, *texts = args.export
    if not texts:
        raise ValueError('--export needs a text to show, as in: --export attention.html "they are not supported."')
    page = export.page(minibert.load(args.model, args.device, weights=args.weights, heads=args.heads), texts)
    page.save(path)
    print(f"{path}: {len(str(page)):,} characters; it opens in any browser, without a network")
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
