"""Trainings on a machine that is not idle, and compared with another checkout on one that is.

    python benchmarks/busy.py --other CHECKOUT --rounds 3 --out benchmarks/results/busy.json

Whole commands on the embedded sample, in turn. First two default trainings at once compared with
two that are told to take one thread each; then two of the other checkout at once. After that each
network of the zoo alone, here and in the other checkout: the figure is the speed of the last epoch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from report import PROGRAM, ROOT, compile_checkout, environment, origin, publish, spread, table

from mnist_arch.zoo.index import zoo_names

OTHER: Final = "import sys; sys.path.insert(0, sys.argv.pop(1)); from cli.app import app; app()"
"""The command of a checkout whose terminal is not installed, and has its former name."""

SET_BY_TORCH: Final = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
"""What would decide for the programs how they use threads; left to them here."""


def started(program: Sequence[str], folder: Path, *more: str, epochs: int) -> subprocess.Popen[str]:
    """A training of the sample in a folder of its own."""
    flags = ["--dataset", "mnist-5k", "--epochs", str(epochs), "--out", str(folder), "--quiet"]
    command = [*program, "train", *more, *flags]
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


def alone(program: Sequence[str], network: str, *, epochs: int) -> float:
    """Images a second in the last epoch of a training that has the machine for itself."""
    with tempfile.TemporaryDirectory() as name:
        finished([started(program, Path(name), network, epochs=epochs)])
        (metrics,) = Path(name).glob("*/metrics.jsonl")
        last = json.loads(metrics.read_text().splitlines()[-1])
        return float(last["images_per_second"])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--other", type=Path, required=True, help="the checkout to compare with")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--epochs", type=int, default=2)
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
    together: dict[str, list[float]] = {name: [] for name in commands}
    speeds: dict[str, dict[str, list[float]]] = {}
    for _ in range(arguments.rounds):
        for name, (program, more) in commands.items():
            together[name].append(at_once(program, *more, epochs=arguments.epochs))
    for network in zoo_names():
        speeds[network] = {"here": [], "other": []}
        for _ in range(arguments.rounds):
            for side, program in (("here", PROGRAM), ("other", other)):
                speeds[network][side].append(alone(program, network, epochs=arguments.epochs))
    first = together["one thread each"]
    ratios = {
        name: [mine / its for mine, its in zip(found, first, strict=True)]
        for name, found in together.items()
    }
    idle = {
        network: [one / two for one, two in zip(found["here"], found["other"], strict=True)]
        for network, found in speeds.items()
    }
    rows = [
        [f"two at once, {name}", "s", *(f"{it:.1f}" for it in spread(found).values())]
        + [f"{it:.2f}" for it in spread(ratios[name]).values()]
        for name, found in together.items()
    ]
    rows += [
        [f"{network} alone", "images/s", *(f"{it:,.0f}" for it in spread(found["here"]).values())]
        + [f"{it:.2f}" for it in spread(idle[network]).values()]
        for network, found in speeds.items()
    ]
    report = {
        **origin(),
        "epochs": arguments.epochs,
        "together_seconds": together,
        "together_ratios": ratios,
        "alone_images_per_second": speeds,
        "alone_ratios": idle,
    }
    headings = ("", "", "median", "least", "most", "ratio", "least", "most")
    publish(table(headings, rows), report, arguments.out)


if __name__ == "__main__":
    main()
