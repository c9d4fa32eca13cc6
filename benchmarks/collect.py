"""Gathers finished runs into one small JSON file, each with the command that made it.

python benchmarks/collect.py runs/s6-1a2b3c4d-s* --out benchmarks/results/s6.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from report import portable

from mnist_arch.errors import RunError
from mnist_arch.files import to_json, write_whole
from mnist_arch.runs.folder import Run


def collected(folder: Path) -> dict[str, Any]:
    """What a claim about the run rests on: how it was made, its curve and its result."""
    run = Run(folder)
    manifest, result = run.manifest(), run.result()
    if result is None:
        raise RunError(f"{folder} is not finished")
    made = manifest.model_dump(mode="json", exclude={"origins", "experiment", "format"})
    made["command"] = [portable(argument) for argument in made["command"]]
    recipe = manifest.experiment.recipe.model_dump(mode="json")
    curve = [
        {key: record[key] for key in ("epoch", "correct", "loss", "train_loss")}
        for record in run.metrics(epochs=result.epochs)
    ]
    return {
        "made": made,
        "recipe": recipe,
        "curve": curve,
        "result": result.model_dump(mode="json", exclude={"mistakes"}),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("runs", nargs="+", type=Path)
    options.add_argument("--out", type=Path, required=True)
    arguments = options.parse_args()
    content = {"format": 1, "runs": [collected(folder) for folder in arguments.runs]}
    write_whole(arguments.out, to_json(content).encode())


if __name__ == "__main__":
    main()
