"""Runs as they are handed in: honest ones, and ones in which something was edited."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import small
import torch

from mnist_arch.counting.digest import digest
from mnist_arch.data.split import Split, content_hash, hold_out
from mnist_arch.evaluation.judgement import Judgement, wilson_interval_percent
from mnist_arch.evaluation.metrics import count_correct, mean_loss, mistaken, predict
from mnist_arch.network.weights import build_with, read_weights, save_weights
from mnist_arch.runs.execute import run_experiment
from mnist_arch.runs.folder import Run
from mnist_arch.runs.images import RunImages
from mnist_arch.runs.result import Result
from mnist_arch.spec.loading import Loaded
from mnist_arch.training.engine import Engine
from mnist_arch.training.events import EpochRecord
from mnist_arch.training.loop import train as epochs_of
from mnist_arch.training.schedule import learning_rate
from mnist_arch.training.state import State

TRAINING = small.synthetic(96, seed=1)
JUDGED_ON = small.synthetic(50, seed=2, name="test")
SAMPLE = small.synthetic(96, seed=3), small.synthetic(50, seed=4, name="test")
"""The images of mnist-5k."""
LEAKED = replace(
    TRAINING,
    images=torch.cat([JUDGED_ON.images] * 8),
    labels=torch.cat([JUDGED_ON.labels] * 8),
)
"""To train on what is judged."""


def load_split(name: str, split: str, **_: Any) -> Any:
    """The images of mnist-5k, and of every other dataset."""
    training, judged_on = SAMPLE if name == "mnist-5k" else (TRAINING, JUDGED_ON)
    return training if split == "train" else judged_on


def train(parent: Path, *, seed: int = 0, training: Split = TRAINING, **values: Any) -> Path:
    """The folder of an honest run of the small network on MNIST."""
    loaded: Loaded = small.loaded(dataset="mnist", **values)
    counted = small.count(loaded).for_seed(seed)
    holdout = counted.experiment.holdout
    images = hold_out(training, holdout) if holdout else (training, JUDGED_ON)
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


def alike(
    weights: Path | None = None, *, judged_on: Split = JUDGED_ON, rates: bool = True, **values: Any
) -> Callable[[Path], object]:
    """Edits the spec of a run, puts other weights in, and has all of its files agree with that.

    The metrics keep their first epochs; the last one is that of the weights. `rates` has the
    learning rates, too, be those of the edited recipe.
    """

    def edit(folder: Path) -> None:
        run = Run(folder)
        place = run.weights_path
        change("manifest.json", **{f"experiment__{key}": it for key, it in values.items()})(folder)
        manifest = json.loads(run.manifest_path.read_text())
        experiment = small.loaded().experiment.model_validate(manifest["experiment"])
        change("manifest.json", digest=digest(experiment))(folder)
        model = build_with(experiment, read_weights(weights or place)[0], place)
        save_weights(place, model, experiment)

        logits_NK = predict(model, judged_on.images, experiment.normalization)
        mistakes, loss = (
            mistaken(logits_NK, judged_on.labels),
            mean_loss(logits_NK, judged_on.labels),
        )
        correct = count_correct(logits_NK, judged_on.labels)
        judged = Judgement(correct, len(judged_on), loss, "test")
        recipe = experiment.recipe
        steps = len(recipe.batches(len(TRAINING)))
        lines = [json.loads(it) for it in run.metrics_path.read_text().splitlines()]
        lines = lines[: recipe.epochs]
        lines[-1] |= {"correct": correct, "loss": loss}
        for line in lines if rates else ():
            last_step = line["epoch"] * steps - 1
            line["rate"] = learning_rate(
                recipe.schedule, last_step, steps=recipe.epochs * steps, steps_per_epoch=steps
            )
        run.metrics_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        best = max(lines, key=lambda it: it["correct"])
        accuracy = experiment.budget.accuracy_verdict(
            correct=correct, images=len(judged_on), dataset=experiment.dataset, split="test"
        )
        change(
            "result.json",
            name=experiment.name,
            digest=digest(experiment),
            dataset=experiment.dataset,
            epochs=recipe.epochs,
            correct=correct,
            loss=loss,
            mistakes=mistakes,
            accuracy_percent=judged.accuracy_percent,
            interval_percent=judged.interval_percent,
            best_epoch=best["epoch"],
            best_accuracy_percent=100 * best["correct"] / len(judged_on),
            verdicts__accuracy=accuracy,
        )(folder)

    return edit


def stopped(folder: Path, *, epoch: int, to: Path) -> Path:
    """The weights of an honest run after one of its epochs, as a file."""
    run = Run(folder)
    manifest = run.manifest()
    experiment, plan = manifest.experiment, small.count(manifest.loaded).plan
    state = State.fresh(experiment, seed=manifest.seed, device="cpu", plan=plan)
    for event in epochs_of(state, TRAINING, JUDGED_ON, engine=manifest.engine):
        if isinstance(event, EpochRecord) and event.epoch == epoch:
            save_weights(to, state.result, experiment)
            break
    return to
