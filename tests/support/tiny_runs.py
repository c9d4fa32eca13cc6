"""Runs that cost nothing: tiny networks of random weights, in folders as a training leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import small
import torch

from mnist_arch.counting.budget import counts_of
from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.data.split import Split
from mnist_arch.evaluation.judgement import Judgement
from mnist_arch.network.build import build
from mnist_arch.network.weights import save_weights
from mnist_arch.runs.folder import Run
from mnist_arch.runs.manifest import Manifest
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import loads
from mnist_arch.training.engine import Engine

TRAIN_IMAGES, TEST_IMAGES = 188, 94
"""Enough for two and for one image of each of 47 classes, and a hold-out."""


def tiny(name: str = "tiny", *, classes: int = 10, **fields: Any) -> Experiment:
    """One convolution, and a reduce to the classes."""
    spec = {
        "name": name,
        "classes": classes,
        "blocks": [{"channels": [4], "pool": {"kind": "max", "size": 4}, "reduce": classes}],
        "dataset": "mnist",
        **fields,
    }
    return loads(json.dumps(spec), source="tiny.yaml").experiment


def images(dataset: DatasetName, split: Literal["train", "test"]) -> Split:
    """Random images of a split, which go through the classes in turn."""
    count = TRAIN_IMAGES if split == "train" else TEST_IMAGES
    rng = torch.Generator().manual_seed(len(dataset) + count)
    pixels = torch.randint(0, 256, (count, 1, 28, 28), generator=rng).to(torch.uint8)
    return Split(pixels, torch.arange(count) % INFO[dataset].classes, split, source="random")


def make_run(
    parent: Path,
    experiment: Experiment,
    *,
    seed: int = 0,
    started: str = "2026-01-01T00:00:00+00:00",
    finished: bool = True,
) -> Run:
    """The folder of a run, written by the library itself; its result is made up."""
    run = Run(parent / small.folder_name(experiment, seed))
    run.folder.mkdir(parents=True)
    manifest = Manifest(
        experiment=experiment,
        origins={},
        digest=digest(experiment),
        seed=seed,
        engine=Engine(device="cpu", threads=1),
        versions={},
        data_sha256="0" * 64,
        git=None,
        command=["mnist-arch", "train"],
        started=started,
    )
    run.manifest_path.write_text(manifest.json_text())
    if finished:
        save_weights(run.weights_path, build(experiment, seed=seed), experiment)
        run.result_path.write_text(made_up_result(experiment, seed).json_text())
    return run


def made_up_result(experiment: Experiment, seed: int) -> Result:
    """Of an experiment whose dataset is known: one image of two is right."""
    assert experiment.dataset != "auto"
    plan, epochs = plan_network(experiment), experiment.recipe.epochs
    judged = Judgement(1, 2, 1.0, "validation" if experiment.holdout else "test")
    counts = counts_of(experiment, plan)._replace(epochs=epochs)
    return Result(
        name=experiment.name,
        digest=digest(experiment),
        seed=seed,
        dataset=experiment.dataset,
        **judged.values(),
        best_epoch=1,
        best_accuracy_percent=50.0,
        parameters=plan.parameters,
        macs=plan.macs,
        epochs=epochs,
        seconds=1.0,
        command_seconds=1.0,
        verdicts=experiment.budget.verdicts(counts),
    )
