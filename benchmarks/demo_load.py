"""Fifty clients type into the demo for a minute: does every answer come, how soon, and does memory stay flat?

    python -m benchmarks.demo_load                       # the bundled model, 50 clients, 60 seconds
    python -m benchmarks.demo_load --clients 10 --seconds 20 --model DIR
    python -m benchmarks.demo_load --clients 0 --long --preset base    # random weights: only sizes and times count


The server is a process of its own, as in a classroom. Each client types sentences letter by letter, as fast as a quick typist
(eight keys a second), asks for tokens and guesses at every key as the page does, and for attention at the end of a sentence. One
client alone is measured first: that is what a teacher feels.

``--long``: then two attributions of the longest text are asked for, while one client types on: how long does it wait, how much
memory does the server take, and how large are the other answers about that text?
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

import minibert
from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.text import Tokenizer

SENTENCES = ("they [MASK] not supported.", "return true if x is less [MASK] y.", "a [MASK] of strings is returned.",
             "this method must [MASK] called before the server is started.")
KEY = 0.125  # seconds between keys


class Connection(http.client.HTTPConnection):
    """Sends at once: http.client writes head and body apart, and the second would wait 40 ms for a receipt of the first."""

    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Client:
    """Types and remembers how long answers took, in seconds, from the key to the guesses."""

    def __init__(self, port: int, number: int) -> None:
        self.connection = Connection("127.0.0.1", port, timeout=60)
        self.number, self.times, self.requests, self.failed = number, [], 0, []

    def post(self, name: str, text: str, **fields: int) -> int:
        """The bytes of the answer."""
        self.connection.request("POST", f"/api/{name}", json.dumps({"text": text, **fields}))
        answer = self.connection.getresponse()
        data = answer.read()
        self.requests += 1
        if answer.status != 200:
            self.failed.append(data[:200])
        return len(data)

    def run(self, until: float) -> None:
        i = self.number
        while time.monotonic() < until:
            sentence = SENTENCES[i % len(SENTENCES)]
            i += 1
            for end in range(1, len(sentence) + 1):
                began = time.monotonic()
                if began > until:
                    return
                try:
                    self.post("tokens", sentence[:end])
                    self.post("guesses", sentence[:end])
                except OSError as error:
                    self.failed.append(repr(error))
                    self.connection.close()
                took = time.monotonic() - began
                self.times.append(took)
                time.sleep(max(0.0, KEY - took))
            self.post("attention", sentence)


def resident(pid: int, most: bool = False) -> float:
    """MB of memory that a process holds, or has held at most (Linux)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(f"{'VmHWM' if most else 'VmRSS'}:\\s+(\\d+)", file.read())[1]) / 1024


def long_requests(port: int, pid: int, steps: int) -> list:
    """Two attributions of the longest text, and what else is answered meanwhile and about it. What failed."""
    text, before = "[MASK] " + "the list " * 400, resident(pid)
    asking = [Client(port, i) for i in range(2)]
    for client in asking:
        client.connection.timeout = None
    threads = [threading.Thread(target=client.post, args=("attribution", text), kwargs={"steps": steps}) for client in asking]
    for thread in threads:
        thread.start()
    typing = Client(port, 0)
    while any(thread.is_alive() for thread in threads):
        typing.run(time.monotonic() + 1)
    print(f"while two attributions of {steps} steps run: {_times(typing.times)}; memory of the server: {before:.0f} MB before, "
          f"{resident(pid, most=True):.0f} MB at most")
    for name in ("tokens", "guesses", "layers", "attention", "scores", "importance"):
        print(f"{name}: an answer of {typing.post(name, text) / 1e6:.2f} MB")
    return [f for client in (typing, *asking) for f in client.failed]


def random_model(preset: str, folder: str) -> None:
    """A model of that size, with random weights and the bundled vocabulary."""
    vocabulary = minibert.load().tokenizer.vocab
    config = BertConfig.preset(preset, vocab_size=len(vocabulary))
    tokenizer = Tokenizer(vocabulary, max_length=config.max_position_embeddings)
    minibert.Bert(config, pretraining.initial_parameters(config), tokenizer).save(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model")
    parser.add_argument("--preset", help="a model of this size with random weights, in place of --model")
    parser.add_argument("--long", action="store_true", help="also ask for attributions of the longest text")
    parser.add_argument("--steps", type=int, default=32, help="of those attributions")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.preset:
            random_model(args.preset, folder)
            args.model = folder
        failed = measure(args)
    raise SystemExit(bool(failed))


def measure(args: argparse.Namespace) -> list:
    """Start the server, ask it, print. What failed."""
    command = [sys.executable, "-m", "minibert", "demo", "--no-browser", "--port", "0", *([args.model] if args.model else [])]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        port = next(int(found[1]) for line in server.stdout if (found := re.search(r"http://[^:]+:(\d+)/", line)))
        alone = Client(port, 0)
        for _ in range(50):  # until it answers
            try:
                alone.post("guesses", "warm up [MASK]")
                break
            except OSError:
                time.sleep(0.2)
        alone.run(time.monotonic() + min(10.0, args.seconds))
        print(f"alone: {_times(alone.times)}", flush=True)
        failed = list(alone.failed)
        if args.clients:
            failed += crowd(args, port, server.pid)
        if args.long:
            failed += long_requests(port, server.pid, args.steps)
        return failed
    finally:
        server.terminate()
        server.wait(60)


def crowd(args: argparse.Namespace, port: int, pid: int) -> list:
    """Everybody types. What failed."""
    clients = [Client(port, i) for i in range(args.clients)]
    until = time.monotonic() + args.seconds
    threads = [threading.Thread(target=client.run, args=(until,)) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(args.seconds / 3)
    middle = resident(pid)
    for thread in threads:
        thread.join()
    times = [t for client in clients for t in client.times]
    failed = [f for client in clients for f in client.failed]
    print(f"{args.clients} clients: {_times(times)}; {sum(c.requests for c in clients):,} requests in {args.seconds:g} s, "
          f"{len(failed)} failed {failed[:1] or ''}\n"
          f"memory of the server: {middle:.0f} MB after a third, {resident(pid):.0f} MB at the end")
    return failed


def _times(seconds: list[float]) -> str:
    median, late, worst = 1e3 * np.quantile(seconds, [0.5, 0.95, 1.0])
    return f"key to guesses {median:.0f} ms (median), {late:.0f} ms (95 %), {worst:.0f} ms (slowest) of {len(seconds):,} keys"


if __name__ == "__main__":
    main()
