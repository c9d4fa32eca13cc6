"""Gathers runs on a hold-out into one small file: what was tried, and what came of it.

    python benchmarks/tried.py runs/* --out benchmarks/records/tried.json
    python benchmarks/tried.py runs/levers/* --first as-it-is --out benchmarks/records/levers.json

Runs that were stopped early are there with the epochs they had. --first prints each arm beside
that one: the difference in accuracy, with the interval of a sweep's comparison, and in loss.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import table

from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import RunError
from mnist_arch.evaluation.comparison import ArmRun, compare_with_first
from mnist_arch.files import to_json, write_whole
from mnist_arch.runs.folder import Run


def tried(folder: Path) -> dict[str, Any]:
    """A run with the last epoch that it has. Raises RunError where it reads the test split."""
    run = Run(folder)
    manifest, result = run.manifest(), run.result()
    experiment = manifest.experiment
    if not experiment.holdout:
        raise RunError(f"{folder} is judged on the test split")
    *_, last = run.curve()
    return {
        "name": experiment.name,
        "digest": manifest.digest,
        "seed": manifest.seed,
        "parameters": plan_network(experiment).parameters,
        "macs": plan_network(experiment).macs,
        "spec": experiment.model_dump(mode="json", exclude_defaults=True, exclude={"name"}),
        "epochs": experiment.recipe.epochs,
        "epoch": last["epoch"],
        "images": last["images"],
        "correct": last["correct"],
        "loss": last["loss"],
        "train_loss": last["train_loss"],
        "mistakes": None if result is None else result.mistakes,
    }


def arms_of(runs: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Finished runs by the name of their arm."""
    arms: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        if run["epoch"] == run["epochs"]:
            arms[run["name"]].append(run)
    return dict(arms)


def lever_rows(runs: Sequence[dict[str, Any]], first: str) -> list[list[str]]:
    """Each arm beside the first: effect on accuracy in points, its interval, on the loss, and n.

    The best effect comes first. Accuracy is compared as in a sweep, the loss seed by seed.
    """
    arms = arms_of(runs)
    others = [name for name in arms if name != first]
    as_runs = [
        [
            ArmRun(run["seed"], run["correct"], frozenset(run["mistakes"]))
            for run in sorted(arms[name], key=lambda run: run["seed"])
        ]
        for name in (first, *others)
    ]
    found = compare_with_first(as_runs, images=runs[0]["images"])
    base = {run["seed"]: run["loss"] for run in arms[first]}
    rows = []
    for name, difference in zip(others, found, strict=True):
        assert difference is not None
        low, high = difference.interval_percent
        losses = [run["loss"] - base[run["seed"]] for run in arms[name] if run["seed"] in base]
        cells = [
            f"`{name}`",
            f"{difference.percent:+.2f} ({low:+.2f} to {high:+.2f})",
            f"{statistics.mean(losses):+.4f}",
            str(len(losses)),
        ]
        rows.append((statistics.mean(losses), cells))
    return [cells for _, cells in sorted(rows)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("runs", nargs="+", type=Path)
    options.add_argument("--first", help="name of the arm that others are compared with")
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    folders = [folder for folder in given.runs if (folder / "metrics.jsonl").exists()]
    runs = sorted((tried(it) for it in folders), key=lambda run: (run["name"], run["seed"]))
    write_whole(given.out, to_json({"format": 1, "runs": runs}).encode())
    if given.first:
        headings = ["", "accuracy, points", "loss", "seeds"]
        print(table(headings, lever_rows(runs, given.first)))


if __name__ == "__main__":
    main()
