"""What a node of a Ray cluster does: it trains, and tells the driver, who alone writes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from mnist_arch.data.catalog import SplitName
from mnist_arch.data.split import Split
from mnist_arch.errors import DeviceUnavailable
from mnist_arch.runs.checkpoint import ResumePoint, checkpoint_bytes
from mnist_arch.runs.events import Started
from mnist_arch.runs.folder import Run
from mnist_arch.runs.provenance import package_versions
from mnist_arch.runs.teachers import macs_in_step
from mnist_arch.sweeps.execution.worker import failure_of, print_error, printing_to
from mnist_arch.sweeps.ledger import Failure
from mnist_arch.training.engine_choice import resolve_device
from mnist_arch.training.events import EpochRecord, JudgeAfter, NotCompiled, Progress, Slow
from mnist_arch.training.loop import train
from mnist_arch.training.pace import SpeedCheck


@dataclass(frozen=True)
class NodeTask:
    """What a node is to train."""

    run: Run
    """Its folder, where the driver is."""
    resume_point: ResumePoint
    judge_after: JudgeAfter
    versions: dict[str, str]
    """Of the driver's packages."""


@dataclass(frozen=True)
class ShippedSplit:
    """A split, as it lies in the object store."""

    images: NDArray[Any]
    """(N, 1, 28, 28) uint8."""
    labels: NDArray[Any]
    """(N,) int64."""
    name: SplitName

    @classmethod
    def of(cls, split: Split) -> ShippedSplit:
        """A split on the CPU, as numpy arrays."""
        return cls(split.images.numpy(), split.labels.numpy(), split.name)

    def split(self, device: str) -> Split:
        """A copy, since torch cannot share memory that is not to be written to."""
        split = Split(torch.tensor(self.images), torch.tensor(self.labels), self.name)
        return split.to(device)


@dataclass(frozen=True)
class NodeMessage:
    """What comes from a node: an event of the run, with what the driver needs besides it."""

    what: Started | EpochRecord | Slow | Failure
    """A failure has no tail of the log yet, and is the last."""
    node: str = ""
    """The node's id, which comes with Started."""
    checkpoint: bytes = b""
    """From which the trial can resume anywhere; it comes with an epoch."""
    log: bytes = b""
    """What was printed since the last message."""


def train_on_node(
    task: NodeTask, training: ShippedSplit, judged_on: ShippedSplit
) -> Iterator[NodeMessage]:
    """Trains what is left of a run. No file outlives it but those that the driver writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        with printing_to(path), path.open("rb") as log:
            try:
                for message in _trained(task, training, judged_on):
                    yield replace(message, log=log.read())
            except Exception as error:
                print_error(error)
                yield NodeMessage(failure_of(error, tail=[]), log=log.read())


def _trained(
    task: NodeTask, training: ShippedSplit, judged_on: ShippedSplit
) -> Iterator[NodeMessage]:
    import ray

    node = ray.get_runtime_context().get_node_id()
    for name, here in package_versions().items():
        if here != (there := task.versions[name]):
            message = f"the node {node} has {name} {here}, and the driver {there}"
            raise DeviceUnavailable(message, hint="install the same versions on all nodes")
    resume_point = task.resume_point
    device = resolve_device(resume_point.manifest.engine.device)
    state = resume_point.state()
    yield NodeMessage(Started(task.run, state.epoch), node=node)
    splits = training.split(device), judged_on.split(device)
    engine = resume_point.manifest.engine
    batch = state.experiment.recipe.batch_size
    macs = macs_in_step(state.plan.macs, resume_point.manifest.teacher)
    speed = SpeedCheck(macs=macs, batch=batch, engine=engine)
    for record in train(state, *splits, judge_after=task.judge_after, engine=engine):
        if isinstance(record, Progress) and (slow := speed.notice(record)):
            yield NodeMessage(slow)
        if isinstance(record, NotCompiled):  # what the driver has written would no longer be true
            message = f"the node {node} cannot compile its steps: {record.trouble}"
            raise DeviceUnavailable(message, hint="install a C++ compiler on all nodes")
        if isinstance(record, EpochRecord):
            checkpoint = checkpoint_bytes(resume_point.checkpoint_of(state))
            yield NodeMessage(record, checkpoint=checkpoint)
