"""A sweep by two workers of one thread, compared with one worker of two threads, run in turn.

    python benchmarks/workers.py --pairs 3 --out benchmarks/results/workers.json

Whole commands are timed from outside, start and data included. The sweep is that of
experiments.yaml on the embedded sample, with its finalists; the figure is the ratio of each pair.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from report import PROGRAM, ROOT, compile_checkout, environment, origin, publish, spread, table

FILE = Path(__file__).parent.parent / "experiments.yaml"
ONE_CORE = "resources: {cpus: 1}"
HEADINGS = ("", "median", "least", "most")


def seconds(*, workers: int, threads: int, epochs: int) -> float:
    """Wall-clock of a whole sweep in a folder of its own."""
    text = FILE.read_text()
    assert ONE_CORE in text
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / FILE.name
        copy.write_text(text.replace(ONE_CORE, f"resources: {{cpus: {threads}}}"))
        options = ["--dataset", "mnist-5k", "--epochs", str(epochs), "--workers", str(workers)]
        command = [*PROGRAM, "sweep", str(copy), *options, "--out", folder, "--quiet"]
        start = time.perf_counter()
        subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=3)
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    compile_checkout(ROOT)
    epochs = arguments.epochs
    pairs = [
        (
            seconds(workers=1, threads=2, epochs=epochs),
            seconds(workers=2, threads=1, epochs=epochs),
        )
        for _ in range(arguments.pairs)
    ]
    measured = {
        "one_worker_seconds": spread([one for one, _ in pairs]),
        "two_workers_seconds": spread([two for _, two in pairs]),
        "ratio": spread([one / two for one, two in pairs]),
    }
    rows = [[name, *(f"{value:.2f}" for value in it.values())] for name, it in measured.items()]
    report = {**origin(), "epochs": epochs, "pairs_seconds": pairs, **measured}
    publish(table(HEADINGS, rows), report, arguments.out)


if __name__ == "__main__":
    main()
