"""Peak memory of training each network of the zoo on all of MNIST, and s6 in batches of 128.

    python benchmarks/memory.py --root DATA --out benchmarks/results/memory.json

Whole processes are measured from outside, evaluation and pictures included: the most resident
memory that each has had. Trainings are of one epoch; a compiled one of two, since its first is
plain, and what a step needs does not grow from then on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from peer import measured
from report import PROGRAM, origin, publish, table

from mnist_arch import load
from mnist_arch.zoo.index import zoo_names

EPOCHS: Final = {"plain": 1, "compiled": 2, "native": 1}
"""By engine."""


@dataclass(frozen=True)
class Peak:
    """Of one training."""

    network: str
    batch_size: int
    engine: str
    epochs: int
    seconds: float
    peak_bytes: int


def peak_of(network: str, batch_size: int, engine: str, *, root: Path) -> Peak:
    """Trains in a folder that is thrown away."""
    epochs = EPOCHS[engine]
    options = ["--dataset", "mnist", "--data-dir", str(root), "--epochs", str(epochs)]
    with tempfile.TemporaryDirectory() as folder:
        options += ["--engine", engine, "--set", f"recipe.batch_size={batch_size}"]
        options += ["--out", folder, "--quiet", "--json"]
        seconds, peak_bytes, _ = measured([*PROGRAM, "train", network, *options])
    print(f"{network}, batch {batch_size}, {engine}: {peak_bytes / 1e6:,.0f} MB", file=sys.stderr)
    return Peak(network, batch_size, engine, epochs, seconds, peak_bytes)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--root", type=Path, required=True)
    options.add_argument("--engines", choices=EPOCHS, nargs="+", default=[*EPOCHS])
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    _, torch_bytes, _ = measured([sys.executable, "-c", "import torch"])
    cases = [(it, load(it).experiment.recipe.batch_size) for it in zoo_names()]
    cases.append(("s6", 128))
    peaks = [
        peak_of(network, batch_size, engine, root=arguments.root)
        for network, batch_size in cases
        for engine in arguments.engines
    ]
    rows = [
        [
            it.network,
            str(it.batch_size),
            it.engine,
            f"{it.seconds:.0f}",
            f"{it.peak_bytes / 1e6:,.0f}",
        ]
        for it in peaks
    ]
    rows.append(["import torch, alone", "", "", "", f"{torch_bytes / 1e6:,.0f}"])
    report = {**origin(), "torch_bytes": torch_bytes, "peaks": [asdict(it) for it in peaks]}
    publish(table(["", "batch", "engine", "seconds", "peak MB"], rows), report, arguments.out)


if __name__ == "__main__":
    main()
