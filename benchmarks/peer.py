"""A plain training script compared with `mnist-arch train s6`, run in turn.

    python benchmarks/peer.py benchmarks/plain_script.py --root DATA --pairs 3 --out REPORT

The script takes --root (the folder that holds MNIST/raw), --epochs, --seed, --batch-size and
--workers, and prints as its last line one JSON object with seconds, epochs, parameters and final
(the accuracy in percent), as plain_script.py does. Whole processes are measured from outside:
imports, data, training and evaluation. The figure is the ratio of each pair, against whichever
number of loader workers has the lower median. The peak is that of the largest process: what its
loader workers need is left out. Afterwards the step of our runs is held against this machine's
ceiling, and taken apart: see step.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from report import PROGRAM, ROOT, compile_checkout, environment, origin, publish, spread, table
from step import study

from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.runs.folder import Run
from mnist_arch.spec.recipe import Recipe

ROUNDS: Final = 3
"""Epochs of the embedded sample that are held against the ceiling."""
BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024
"""Unit of ru_maxrss."""


@dataclass(frozen=True)
class Reported:
    """What a process says of itself."""

    seconds: float
    epochs: int
    parameters: int
    accuracy_percent: float
    """At the final epoch."""


@dataclass(frozen=True)
class Outcome:
    """One whole process."""

    seconds: float
    peak_bytes: int
    """Resident memory of its largest process."""
    said: Reported


@dataclass(frozen=True)
class Side:
    """What is run in turn with others."""

    name: str
    images: int
    """Training images of an epoch."""
    command: Callable[[int], list[str]]
    """Of a seed."""
    read: Callable[[str], Reported]
    """What its standard output says."""
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def median_seconds(self) -> float:
        return statistics.median(outcome.seconds for outcome in self.outcomes)


def read_peer(output: str) -> Reported:
    """From the last line. Raises ValueError where that is no JSON object of a peer."""
    lines = output.strip().splitlines() or [""]
    try:
        last = json.loads(lines[-1])
        return Reported(last["seconds"], last["epochs"], last["parameters"], last["final"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"no JSON object of a peer: {lines[-1]!r} ({error!r})") from None


def read_ours(output: str) -> Reported:
    """From the object of `train --json`."""
    result = json.loads(output)
    names = (one.name for one in dataclasses.fields(Reported))
    return Reported(**{name: result[name] for name in names})


def measured(command: list[str]) -> tuple[float, int, str]:
    """Wall-clock seconds, peak bytes and output of a process. Raises CalledProcessError."""
    start = time.perf_counter()
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, usage.ru_maxrss * BYTES_OF_MAXRSS, output


def run(side: Side, *, seed: int, epochs: int) -> None:
    """One more outcome of a side. Raises ValueError where it did not train as long as asked."""
    seconds, peak_bytes, output = measured(side.command(seed))
    said = side.read(output)
    if said.epochs != epochs:
        raise ValueError(f"{side.name} ended after {said.epochs} of {epochs} epochs")
    side.outcomes.append(Outcome(seconds, peak_bytes, said))
    print(f"seed {seed}, {side.name}: {seconds:.1f} s", file=sys.stderr)


def sides_of(arguments: argparse.Namespace, folder: Path) -> tuple[list[Side], Side]:
    """The peer by its loader workers, and ours, whose runs go into `folder`."""
    epochs, batch, root = arguments.epochs, arguments.batch_size, str(arguments.root)
    images = INFO[arguments.dataset].train_images
    common = ["--epochs", str(epochs)]

    def peer(workers: int) -> Side:
        options = ["--root", root, *common, "--batch-size", str(batch), "--workers", str(workers)]
        command = [sys.executable, str(arguments.peer), *options]
        name = f"peer, {workers} loader workers"
        return Side(name, images, lambda seed: [*command, "--seed", str(seed)], read_peer)

    options = ["s6", "--dataset", arguments.dataset, "--data-dir", root, *common]
    options += ["--set", f"recipe.batch_size={batch}", "--out", str(folder), "--json", "--quiet"]
    command = [*PROGRAM, "train", *options]
    trained = sum(Recipe(batch_size=batch).batches(images))
    ours = Side("mnist-arch", trained, lambda seed: [*command, "--seed", str(seed)], read_ours)
    return [peer(workers) for workers in arguments.workers], ours


def pair_ratios(peers: Sequence[Side], ours: Side) -> tuple[Side, list[float]]:
    """The peer with the lower median, and its seconds by ours, pair by pair."""
    faster = min(peers, key=lambda side: side.median_seconds)
    both = zip(faster.outcomes, ours.outcomes, strict=True)
    return faster, [theirs.seconds / its.seconds for theirs, its in both]


def row(side: Side, *, epochs: int) -> list[str]:
    """Medians over the pairs; accuracies of every pair."""

    def median(values: Callable[[Outcome], float]) -> float:
        return statistics.median(map(values, side.outcomes))

    accuracies = (f"{outcome.said.accuracy_percent:.2f}" for outcome in side.outcomes)
    return [
        side.name,
        f"{side.median_seconds:.1f}",
        f"{median(lambda outcome: outcome.said.seconds):.1f}",
        f"{epochs * side.images / side.median_seconds:,.0f}",
        f"{median(lambda outcome: outcome.peak_bytes) / 1e6:,.0f}",
        f"{side.outcomes[0].said.parameters:,}",
        " ".join(accuracies),
    ]


HEADINGS = ("", "seconds", "says", "images/s", "peak MB", "parameters", "final accuracy, %")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("peer", type=Path, metavar="PEER_SCRIPT")
    options.add_argument("--root", type=Path, required=True)
    options.add_argument("--dataset", choices=get_args(DatasetName), default="mnist")
    options.add_argument("--epochs", type=int, default=1)
    options.add_argument("--pairs", type=int, default=3)
    options.add_argument("--batch-size", type=int, default=128)
    options.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    compile_checkout(ROOT)
    epochs = arguments.epochs
    for light in (
        [sys.executable, str(arguments.peer), "--help"],
        [*PROGRAM, "summary", "--verify"],
    ):
        measured(light)  # fills the file cache with what both import
    with tempfile.TemporaryDirectory() as folder:
        peers, ours = sides_of(arguments, Path(folder))
        sides = [*peers, ours]
        for seed in range(arguments.pairs):
            for side in sides:
                run(side, seed=seed, epochs=epochs)
        engine = Run(next(Path(folder).iterdir())).manifest().engine
    faster, ratios = pair_ratios(peers, ours)
    batch_size = arguments.batch_size
    step = study(engine, dataset="mnist-5k", batch_size=batch_size, rounds=ROUNDS)
    report = {
        **origin(),
        "dataset": arguments.dataset,
        "epochs": epochs,
        "batch_size": batch_size,
        "sides": {
            side.name: {
                "images": side.images,
                "seconds_median": side.median_seconds,
                "images_per_second": epochs * side.images / side.median_seconds,
                "outcomes": [dataclasses.asdict(outcome) for outcome in side.outcomes],
            }
            for side in sides
        },
        "faster_peer": faster.name,
        "ratios": ratios,
        "ratio": spread(ratios),
        "step": step.report(),
    }
    text = table(HEADINGS, [row(side, epochs=epochs) for side in sides])
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    text += f"{faster.name}, in times of mnist-arch: {statistics.median(ratios):.2f} ({each})\n"
    text += f"\n{engine.step} steps, after the pairs\n{step.text()}"
    publish(text, report, arguments.out)


if __name__ == "__main__":
    main()
