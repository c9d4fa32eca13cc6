"""The images of a run: what it trains on and what it is judged on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from mnist_arch.data.load import load_split
from mnist_arch.data.split import Split, content_hash, hold_out
from mnist_arch.runs.result import SplitName
from mnist_arch.spec.experiment import Experiment


@dataclass(frozen=True)
class Material:
    """The images of an experiment: what it trains on and what it is judged on."""

    training: Split
    held: Split
    split: SplitName
    """Which split `held` is: validation where there is a hold-out, else test."""
    sha256: str
    seconds: float
    """Time it took to read."""


def read_material(experiment: Experiment, *, data_dir: Path | None, device: str) -> Material:
    """Reads what the run needs and no more: with a hold-out the test split is not even opened.

    Raises DataUnavailable, or SpecError for a hold-out that is too large.
    """
    start = time.perf_counter()
    name = experiment.resolved_dataset
    training = load_split(name, "train", data_dir=data_dir)
    split: SplitName = "validation" if experiment.holdout else "test"
    if experiment.holdout:
        training, held = hold_out(training, experiment.holdout)
    else:
        held = load_split(name, "test", data_dir=data_dir)
    sha256 = content_hash(training, held)
    training, held = (
        Split(part.images.to(device), part.labels.to(device)) for part in (training, held)
    )
    return Material(training, held, split, sha256, time.perf_counter() - start)
