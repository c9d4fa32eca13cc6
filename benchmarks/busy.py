"""Trainings on a machine that is not idle, and compared with another checkout on one that is.

    python benchmarks/busy.py --other CHECKOUT --rounds 3 --out benchmarks/results/busy.json

Whole commands of s6 on the embedded sample, in turn. Two trainings at once that are told to take
one thread each, two by default, and two of the other checkout; then one of each beside a process
that keeps a core busy. After that one that has the machine for itself, here and in the other
checkout: the figure is the speed of the last epoch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from report import PROGRAM, ROOT, compile_checkout, environment, origin, publish, spread, table

Way = Callable[..., float]
"""Seconds of trainings by a program, with these further arguments, over so many epochs."""

OTHER: Final = "import sys; sys.path.insert(0, sys.argv.pop(1)); from cli.app import app; app()"
"""The command of a checkout whose terminal is not installed, and has its former name."""

SET_BY_TORCH: Final = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
"""What would decide for the programs how they use threads; left to them here."""


def started(program: Sequence[str], folder: Path, *more: str, epochs: int) -> subprocess.Popen[str]:
    """A training of the sample in a folder of its own."""
    flags = ["--dataset", "mnist-5k", "--epochs", str(epochs), "--out", str(folder), "--quiet"]
    command = [*program, "train", "s6", *more, *flags]
    return subprocess.Popen(
        command, env=environment(*SET_BY_TORCH), stdout=subprocess.DEVNULL, text=True
    )


def finished(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Waits for all of them. Raises CalledProcessError for one that fails."""
    for process in processes:
        if code := process.wait():
            raise subprocess.CalledProcessError(code, process.args)


def at_once(program: Sequence[str], *more: str, epochs: int) -> float:
    """Seconds until two trainings, begun together, are both done."""
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        folders = [Path(name) / which for which in ("one", "two")]
        finished([started(program, folder, *more, epochs=epochs) for folder in folders])
        return time.perf_counter() - start


def beside_busy(program: Sequence[str], *more: str, epochs: int) -> float:
    """Seconds of a training while another process computes without end."""
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy,
    ):
        try:
            start = time.perf_counter()
            finished([started(program, Path(name), *more, epochs=epochs)])
            return time.perf_counter() - start
        finally:
            busy.kill()


def alone(program: Sequence[str], *, epochs: int) -> float:
    """Images a second in the last epoch of a training that has the machine for itself."""
    with tempfile.TemporaryDirectory() as name:
        finished([started(program, Path(name), epochs=epochs)])
        (metrics,) = Path(name).glob("*/metrics.jsonl")
        last = json.loads(metrics.read_text().splitlines()[-1])
        return float(last["images_per_second"])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--other", type=Path, required=True, help="the checkout to compare with")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--epochs", type=int, default=10)
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    for checkout in (ROOT, arguments.other):
        compile_checkout(checkout)
    other = [sys.executable, "-c", OTHER, str(arguments.other.resolve())]
    commands = {
        "one thread each": (PROGRAM, ["--threads", "1"]),
        "by default": (PROGRAM, []),
        "the other checkout": (other, []),
    }
    ways: dict[str, Way] = {"two at once": at_once, "beside a busy process": beside_busy}
    seconds: dict[str, dict[str, list[float]]] = {}
    for title, way in ways.items():
        seconds[title] = {name: [] for name in commands}
        for _ in range(arguments.rounds):
            for name, (program, more) in commands.items():
                seconds[title][name].append(way(program, *more, epochs=arguments.epochs))
    speeds: dict[str, list[float]] = {"here": [], "other": []}
    for _ in range(arguments.rounds):
        for side, program in (("here", PROGRAM), ("other", other)):
            speeds[side].append(alone(program, epochs=arguments.epochs))
    ratios = {
        title: {
            name: [one / two for one, two in zip(values, found["one thread each"], strict=True)]
            for name, values in found.items()
        }
        for title, found in seconds.items()
    }
    idle = [one / two for one, two in zip(speeds["here"], speeds["other"], strict=True)]
    rows = [
        [f"{title}, {name}", "s", *(f"{it:.1f}" for it in spread(values).values())]
        + [f"{it:.2f}" for it in spread(ratios[title][name]).values()]
        for title, found in seconds.items()
        for name, values in found.items()
    ]
    rows.append(
        ["alone", "images/s", *(f"{it:,.0f}" for it in spread(speeds["here"]).values())]
        + [f"{it:.2f}" for it in spread(idle).values()]
    )
    report = {
        **origin(),
        "epochs": arguments.epochs,
        "seconds": seconds,
        "ratios": ratios,
        "alone_images_per_second": speeds,
        "alone_ratios": idle,
    }
    headings = ("", "", "median", "least", "most", "ratio", "least", "most")
    publish(table(headings, rows), report, arguments.out)


if __name__ == "__main__":
    main()
