"""Whole sweeps here and in another checkout, in turn: experiments.yaml, and separable networks.

    python benchmarks/whole_sweep.py --other CHECKOUT --rounds 1 \\
        --out benchmarks/results/whole_sweep.json

On the embedded sample, and one of an epoch on MNIST, which is found through MNIST_ARCH_DATA, or
downloaded. Commands are timed from outside, start and data included. The other checkout
is one of before the engine, c05f2a9. The native library is there already where it was built once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from busy import OTHER, SET_BY_TORCH
from report import PROGRAM, ROOT, compile_checkout, environment, origin, publish, spread, table

SWEEPS: Final = {
    "experiments": (ROOT / "experiments.yaml", ["--dataset", "mnist-5k", "--epochs", "3"]),
    "separable": (ROOT / "benchmarks" / "separable.yaml", ["--dataset", "mnist-5k"]),
    "experiments on MNIST": (ROOT / "experiments.yaml", ["--dataset", "mnist", "--epochs", "1"]),
}
"""Files, and what of their datasets and epochs is another."""


def seconds(program: Sequence[str], name: str) -> float:
    """Wall-clock of a whole sweep in a folder of its own."""
    file, more = SWEEPS[name]
    with tempfile.TemporaryDirectory() as folder:
        options = [*more, "--workers", "2", "--out", folder, "--quiet"]
        start = time.perf_counter()
        subprocess.run(
            [*program, "sweep", str(file), *options],
            env=environment(*SET_BY_TORCH),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--other", type=Path, required=True, help="the checkout to compare with")
    options.add_argument("--sweeps", choices=SWEEPS, nargs="+", default=[*SWEEPS])
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    for checkout in (ROOT, arguments.other):
        compile_checkout(checkout)
    sides = {
        "here": PROGRAM,
        "other": [sys.executable, "-c", OTHER, str(arguments.other.resolve())],
    }
    measured: dict[str, dict[str, list[float]]] = {}
    for name in arguments.sweeps:
        measured[name] = {side: [] for side in sides}
        for _ in range(arguments.rounds):
            for side, program in sides.items():
                measured[name][side].append(seconds(program, name))
                print(f"{name}, {side}: {measured[name][side][-1]:.1f} s", file=sys.stderr)
    ratios = {
        name: [one / two for one, two in zip(found["other"], found["here"], strict=True)]
        for name, found in measured.items()
    }
    rows = [
        [f"{name}, {side}", *(f"{it:.1f}" for it in spread(found[side]).values())]
        + [f"{it:.2f}" for it in (spread(ratios[name]).values() if side == "here" else ())]
        + [""] * (3 if side == "other" else 0)
        for name, found in measured.items()
        for side in sides
    ]
    report = {**origin(), "seconds": measured, "ratios": ratios}
    headings = ("", "median", "least", "most", "ratio", "least", "most")
    publish(table(headings, rows), report, arguments.out)


if __name__ == "__main__":
    main()
