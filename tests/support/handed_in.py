"""Runs as they are handed in: honest ones, and ones in which something was edited."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import small

from mnist_arch.data.split import content_hash, hold_out
from mnist_arch.evaluation.judgement import wilson_interval_percent
from mnist_arch.runs.execute import run_experiment
from mnist_arch.runs.folder import Run
from mnist_arch.runs.images import RunImages
from mnist_arch.runs.result import Result
from mnist_arch.spec.loading import Loaded
from mnist_arch.training.engine import Engine

TRAINING = small.synthetic(96, seed=1)
JUDGED_ON = small.synthetic(50, seed=2, name="test")


def load_split(name: str, split: str, **_: Any) -> Any:
    """The images of every dataset."""
    return TRAINING if split == "train" else JUDGED_ON


def train(parent: Path, *, seed: int = 0, **values: Any) -> Path:
    """The folder of an honest run of the small network on MNIST."""
    loaded: Loaded = small.loaded(dataset="mnist", **values)
    counted = small.count(loaded).for_seed(seed)
    holdout = counted.experiment.holdout
    images = hold_out(TRAINING, holdout) if holdout else (TRAINING, JUDGED_ON)
    run = Run(parent / small.folder_name(loaded.experiment, seed))
    *_, result = run_experiment(
        counted,
        RunImages(*images, content_hash(*images), 0.0),
        run=run,
        seed=seed,
        engine=Engine(device="cpu", threads=1),
        command=["mnist-arch", "train"],
        command_seconds=lambda: 1.0,
    )
    assert isinstance(result, Result)
    return run.folder


def zipped(folder: Path, path: Path) -> Path:
    """The folder in an archive, as a file manager makes it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{folder.name}/{file.name}")
    return path


def edited(folder: Path, to: Path, edit: Callable[[Path], object]) -> Path:
    """A copy in which something is edited."""
    shutil.copytree(folder, to)
    edit(to)
    return to


def change(file: str, **values: Any) -> Callable[[Path], object]:
    """Edits values of a JSON file, by paths with `__` for the dots."""

    def edit(folder: Path) -> None:
        tree = json.loads((folder / file).read_text())
        for path, value in values.items():
            node, (*way, last) = tree, path.split("__")
            for part in way:
                node = node[part]
            node[last] = value(node[last]) if callable(value) else value
        (folder / file).write_text(json.dumps(tree))

    return edit


def change_epoch(epoch: int, **values: Any) -> Callable[[Path], object]:
    """Edits an epoch of the metrics."""

    def edit(folder: Path) -> None:
        path = folder / "metrics.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for key, value in values.items():
            lines[epoch - 1][key] = value(lines[epoch - 1][key]) if callable(value) else value
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    return edit


def one_more_correct(folder: Path) -> None:
    """One image more is right, in every file alike."""
    result = json.loads((folder / "result.json").read_text())
    correct, images = result["correct"] + 1, result["images"]
    result |= {
        "correct": correct,
        "mistakes": result["mistakes"][1:],
        "accuracy_percent": 100 * correct / images,
        "interval_percent": wilson_interval_percent(correct, images),
    }
    change_epoch(result["epochs"], correct=correct)(folder)
    lines = [json.loads(it) for it in (folder / "metrics.jsonl").read_text().splitlines()]
    best = max(lines, key=lambda it: it["correct"])
    result |= {
        "best_epoch": best["epoch"],
        "best_accuracy_percent": 100 * best["correct"] / images,
    }
    (folder / "result.json").write_text(json.dumps(result))
