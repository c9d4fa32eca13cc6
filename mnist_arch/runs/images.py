"""The images of a run: what it trains on and what it is judged on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from mnist_arch.data.catalog import CONTENT_SHA256, SplitName
from mnist_arch.data.load import load_split
from mnist_arch.data.split import Split, content_hash, hold_out
from mnist_arch.spec.experiment import Experiment


@dataclass(frozen=True)
class RunImages:
    """The images of an experiment: what it trains on and what it is judged on."""

    training: Split
    judged_on: Split
    """Validation where there is a hold-out, else test."""
    sha256: str
    """`content_hash` of both."""
    seconds: float
    """Time it took to read."""

    @property
    def split(self) -> SplitName:
        """Which images the run is judged on."""
        return self.judged_on.name


def read_images(experiment: Experiment, *, data_dir: Path | None, device: str) -> RunImages:
    """Reads what the run needs and no more: with a hold-out the test split is not even opened.

    Raises DataUnavailable, or SpecError for a hold-out that is too large.
    """
    start = time.perf_counter()
    name = experiment.resolved_dataset
    training = load_split(name, "train", data_dir=data_dir)
    if experiment.holdout:
        training, judged_on = hold_out(training, experiment.holdout)
    else:
        judged_on = load_split(name, "test", data_dir=data_dir)
    checksums = training.checksums + judged_on.checksums
    sha256 = CONTENT_SHA256.get(checksums) or content_hash(training, judged_on)
    training, judged_on = training.to(device), judged_on.to(device)
    return RunImages(training, judged_on, sha256, time.perf_counter() - start)
