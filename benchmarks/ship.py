"""Puts the weights of a run, and the evidence of all its seeds, beside the spec that ships.

python benchmarks/ship.py runs/s6-1a2b3c4d-s* --name s6 --machine "AMD EPYC, AVX2, two virtual CPUs"
"""

from __future__ import annotations

import argparse
from pathlib import Path

from report import portable

from mnist_arch.files import write_whole
from mnist_arch.runs.evidence import Evidence
from mnist_arch.runs.folder import Run
from mnist_arch.zoo.index import zoo


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("runs", nargs="+", type=Path, help="that of the weights first")
    options.add_argument("--name", choices=list(zoo()), required=True)
    options.add_argument("--machine", required=True, help="where they were trained, in words")
    arguments = options.parse_args()
    runs, shipped = [Run(folder) for folder in arguments.runs], zoo()[arguments.name]
    evidence = Evidence.of(runs, machine=arguments.machine)
    seeds = [
        it.model_copy(update={"command": [portable(word) for word in it.command]})
        for it in evidence.seeds
    ]
    write_whole(shipped.weights_path, runs[0].weights_path.read_bytes())
    text = evidence.model_copy(update={"seeds": seeds}).json_text()
    write_whole(shipped.evidence_path, text.encode())


if __name__ == "__main__":
    main()
