"""Fifty clients type into the demo for a minute: does every answer come, how soon, and does memory stay flat?

    python -m benchmarks.demo_load                       # the bundled model, 50 clients, 60 seconds
    python -m benchmarks.demo_load --clients 10 --seconds 20 --model DIR

The server is a process of its own, as in a classroom. Each client types sentences letter by letter, as fast as a quick typist
(eight keys a second), asks for tokens and guesses at every key as the page does, and for attention at the end of a sentence. One
client alone is measured first: that is what a teacher feels.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time

import numpy as np

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

    def post(self, name: str, text: str) -> None:
        self.connection.request("POST", f"/api/{name}", json.dumps({"text": text}))
        answer = self.connection.getresponse()
        data = answer.read()
        self.requests += 1
        if answer.status != 200 or "error" in json.loads(data):
            self.failed.append(data[:200])

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


def resident(pid: int) -> float:
    """MB of memory that a process holds (Linux)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model")
    args = parser.parse_args()
    command = [sys.executable, "-m", "minibert", "demo", "--no-browser", "--port", "8900", *([args.model] if args.model else [])]
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
        clients = [Client(port, i) for i in range(args.clients)]
        until = time.monotonic() + args.seconds
        threads = [threading.Thread(target=client.run, args=(until,)) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(args.seconds / 3)
        middle = resident(server.pid)
        for thread in threads:
            thread.join()
        times = [t for client in clients for t in client.times]
        failed = [f for client in clients for f in client.failed]
        print(f"{args.clients} clients: {_times(times)}; {sum(c.requests for c in clients):,} requests in {args.seconds:g} s, "
              f"{len(failed)} failed {failed[:1] or ''}\n"
              f"memory of the server: {middle:.0f} MB after a third, {resident(server.pid):.0f} MB at the end")
    finally:
        server.terminate()
        server.wait(10)
    raise SystemExit(bool(failed))


def _times(seconds: list[float]) -> str:
    median, late, worst = 1e3 * np.quantile(seconds, [0.5, 0.95, 1.0])
    return f"key to guesses {median:.0f} ms (median), {late:.0f} ms (95 %), {worst:.0f} ms (slowest) of {len(seconds):,} keys"


if __name__ == "__main__":
    main()
