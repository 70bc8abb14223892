"""Runs commands in turns and keeps what each cost: wall time, processor time, peak memory."""

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field


@dataclass
class Cost:
    """One run of a command and of all processes it waited for."""

    wall: float
    cpu: float
    peak_mib: float
    code: int


@dataclass
class Series:
    """All runs of one command."""

    runs: list = field(default_factory=list)

    def median(self, what):
        return statistics.median(getattr(run, what) for run in self.runs)


def run(command, folder=None, stdin=None, environment=None):
    """Runs a command with its output thrown away. A shell pipeline is given as one string."""
    shell = isinstance(command, str)
    with open(stdin or os.devnull, "rb") as source:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            shell=shell,
            cwd=folder,
            stdin=source,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
        # wait4 tells of this child and those that it waited for; Popen must not wait as well.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode)


def in_turns(commands, rounds, warm=True, **where):
    """A B C A B C …: what the machine does besides hits all of them alike. The first round only warms the caches."""
    series = {name: Series() for name in commands}
    for number in range(rounds + (1 if warm else 0)):
        for name, command in commands.items():
            cost = run(command, **where)
            if number > 0 or not warm:
                series[name].runs.append(cost)
            print(".", end="", file=sys.stderr, flush=True)
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return series


def ratio(ours, theirs, what="wall"):
    """The median of the quotients of neighbouring runs."""
    pairs = [
        getattr(a, what) / getattr(b, what) for a, b in zip(ours.runs, theirs.runs, strict=True) if getattr(b, what) > 0
    ]
    return statistics.median(pairs) if pairs else float("nan")
