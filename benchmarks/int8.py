"""What whole numbers cost over the seeds of a network, and what its C takes.

    python benchmarks/int8.py runs/int8-1a2b3c4d-s* --out benchmarks/results/int8.json

Each run is exported as C in whole numbers, which is run on every test image of MNIST.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import report

import mnist_arch as ma


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    seeds = []
    with tempfile.TemporaryDirectory() as folder:
        for run in options.runs:
            out = Path(folder) / "c"
            found = ma.export(run, format="c", int8=True, out=out)
            assert found.int8 is not None
            assert found.c is not None
            seed = {
                "seed": found.trained.seed,
                "digest": found.metadata["digest"],
                "int8": asdict(found.int8),
                "parity": asdict(found.parity),
                "c": asdict(found.c),
            }
            seeds.append(seed)
            print(f"seed {found.trained.seed}: {found.int8}")
    options.out.write_text(json.dumps({**report.origin(), "seeds": seeds}, indent=2) + "\n")


if __name__ == "__main__":
    main()
