"""A cable of limited speed between two places on this machine, which ranks take for two machines. Linux, as root.

Two network namespaces are joined by a pair of virtual devices. A token bucket (``tc tbf``) at each end lets so many bits a second
out; what comes in is limited at the other end. So there is as much room both ways at once, as on a switched network. Delay and
loss are those of one machine: none.

MPICH takes processes of one machine for neighbours and would send through memory: it is told to go over TCP.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

OVER_TCP = {"MPIR_CVAR_NOLOCAL": "1", "MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp"}  # of MPICH and its libfabric
BURST = "64kb"  # goes at once after a rest: little beside what a step sends


@contextmanager
def of(speed: float) -> Iterator[list[str]]:
    """A cable that carries ``speed`` bytes a second each way. What a command begins with so that rank 0 of it runs at one end and
    rank 1 at the other. SystemExit, with what is missing, where there can be none."""
    if sys.platform != "linux" or os.geteuid() or not (shutil.which("ip") and shutil.which("tc")):
        sys.exit("error: a slow link is made of network namespaces: run this on Linux, as root, with ip and tc (iproute2)")
    ends = [f"minibert{os.getpid()}-{rank}" for rank in (0, 1)]
    try:
        for end in ends:
            _ip("netns", "add", end)
        _ip("link", "add", "cable", "netns", ends[0], "type", "veth", "peer", "name", "cable", "netns", ends[1])
        for rank, end in enumerate(ends):
            _ip("-n", end, "address", "add", f"10.77.0.{rank + 1}/24", "dev", "cable")
            for device in ("lo", "cable"):
                _ip("-n", end, "link", "set", device, "up")
            _ip("netns", "exec", end, "tc", "qdisc", "add", "dev", "cable", "root", "tbf", "rate", f"{8 * speed:.0f}bit", "burst",
                BURST, "latency", "50ms")
        wait_until_up(ends)
        yield ["sh", "-c", f'exec ip netns exec {ends[0][:-1]}$PMI_RANK "$@"', "--"]
    finally:
        for end in ends:
            subprocess.run(["ip", "netns", "delete", end], capture_output=True)


def wait_until_up(ends: Sequence[str]) -> None:
    """The kernel says so a moment later, and libfabric, which finds no device that is up, takes ``lo`` without a word."""
    until = time.monotonic() + 10
    while not all("state UP" in _ip("-n", end, "link", "show", "cable") for end in ends):
        if time.monotonic() > until:
            sys.exit("error: no slow link here: its two ends do not come up within 10 s")
        time.sleep(0.01)


def _ip(*argv: str) -> str:
    done = subprocess.run(["ip", *argv], capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"error: no slow link here: ip {' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
