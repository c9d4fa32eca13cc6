"""The folder of a run: its name, its files, who may write to it. Nothing here imports torch.

runs/<name>-<digest8>-s<seed>/
    manifest.json         written before training: what was asked for, with what, on what
    metrics.jsonl         one EpochRecord a line, with the format number
    checkpoint            state of the training after the last epoch; the truth about how far it is
    weights.safetensors   the result's weights, with the spec in the header
    curves.png            loss, accuracy and learning rate by epoch
    result.json           written last: a run with a result is finished
    readings.jsonl        later readings of the test split by `eval`, one a line
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from mnist_arch.errors import START_ANEW, RunCorrupt, RunError, SpecError, StorageError
from mnist_arch.files import (
    append_line,
    expanded,
    hold,
    is_folder,
    is_there,
    names_in,
    read,
    remove_unfinished,
    shown,
    storage_errors,
    write_whole,
)
from mnist_arch.runs.manifest import Manifest
from mnist_arch.runs.result import Reading, Result
from mnist_arch.spec.loading import validated
from mnist_arch.spec.strict_yaml import parse
from mnist_arch.values import FORMAT, check_format, read_record


@dataclasses.dataclass(frozen=True)
class Run:
    """The folder of one run."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the network, by the folder's name."""
        return re.sub(r"-[0-9a-f]{8}-s\d+\Z", "", self.folder.name)

    @property
    def manifest_path(self) -> Path:
        """File of what the run is."""
        return self.folder / "manifest.json"

    @property
    def metrics_path(self) -> Path:
        """File of its epochs, one a line."""
        return self.folder / "metrics.jsonl"

    @property
    def checkpoint_path(self) -> Path:
        """File of what its training goes on from."""
        return self.folder / "checkpoint"

    @property
    def weights_path(self) -> Path:
        """File of the weights of its result."""
        return self.folder / "weights.safetensors"

    @property
    def curves_path(self) -> Path:
        """Picture of its epochs."""
        return self.folder / "curves.png"

    @property
    def result_path(self) -> Path:
        """File of its result, which is written last."""
        return self.folder / "result.json"

    @property
    def readings_path(self) -> Path:
        """File of later readings of the test split, one a line."""
        return self.folder / "readings.jsonl"

    @property
    def is_new(self) -> bool:
        """Whether nothing has been written yet. Raises RunCorrupt where only the manifest lacks."""
        if is_there(self.manifest_path):
            return False
        if is_there(self.checkpoint_path) or is_there(self.result_path):
            raise RunCorrupt(f"{self.folder} has lost its manifest.json", hint=START_ANEW)
        return True

    def manifest(self) -> Manifest:
        """What the run is. Raises what `read_manifest` does."""
        return read_manifest(self.manifest_path)

    @property
    def is_finished(self) -> bool:
        """Whether there is a result. Raises StorageError."""
        return is_there(self.result_path)

    def result(self) -> Result | None:
        """None for a run that is not finished.

        Raises RunCorrupt, EarlierFormat, LaterFormat or StorageError.
        """
        return read_record(self.result_path, Result) if self.is_finished else None

    @contextlib.contextmanager
    def lock(self) -> Iterator[Self]:
        """Holds the folder, which is made if needed. Raises RunLocked, or StorageError."""
        with hold(self.folder):
            remove_unfinished(self.folder)
            yield self

    def put_aside(self) -> Path | None:
        """Renames the folder to the first free `<folder>.<n>`; None where there is none."""
        if not is_there(self.folder):
            return None
        number = 1
        while is_there(aside := self.folder.with_name(f"{self.folder.name}.{number}")):
            number += 1
        with storage_errors(aside):
            self.folder.rename(aside)
        return aside

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Writes an epoch below those that are there. Raises StorageError."""
        append_line(self.metrics_path, _metrics_line(record))

    def metrics(self, *, epochs: int) -> list[dict[str, Any]]:
        """The first `epochs` records; later and torn lines do not count.

        Raises RunCorrupt, EarlierFormat, LaterFormat or StorageError.
        """
        kept = self.curve()[:epochs]
        if len(kept) != epochs:
            message = f"{self.metrics_path} lacks epochs that the checkpoint has"
            raise RunCorrupt(message, hint=START_ANEW)
        return kept

    def curve(self) -> list[dict[str, Any]]:
        """The records of the epochs from the first on, as far as they are there.

        Raises EarlierFormat, LaterFormat or StorageError.
        """
        written = is_there(self.metrics_path)
        text = read(self.metrics_path).decode("utf-8", "replace") if written else ""
        records: dict[int, dict[str, Any]] = {}
        for line in text.splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                record = json.loads(line)
                epoch, found = int(record["epoch"]), int(record.pop("format", 1))
                check_format(found, self.metrics_path)
                records[epoch] = record
        epochs = itertools.takewhile(records.__contains__, itertools.count(1))
        return [records[epoch] for epoch in epochs]

    def append_reading(self, reading: Reading) -> None:
        """Writes a reading below those that are there. Raises StorageError."""
        append_line(self.readings_path, json.dumps(reading.model_dump(mode="json"), sort_keys=True))

    def keep_metrics(self, *, epochs: int) -> None:
        """Drops what a killed process wrote after its last checkpoint."""
        kept = self.metrics(epochs=epochs)
        if is_there(self.metrics_path):
            lines = [_metrics_line(record) + "\n" for record in kept]
            write_whole(self.metrics_path, "".join(lines).encode())


def _metrics_line(record: dict[str, Any]) -> str:
    """Each line has the format number, since lines are what is appended."""
    return json.dumps({"format": FORMAT, **record}, sort_keys=True, allow_nan=False)


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file.

    Raises RunError where there is none, SpecError, with the line, for an experiment that is none,
    RunCorrupt for whatever else is wrong, EarlierFormat, LaterFormat, or StorageError.
    """
    if not is_there(path):
        message = f"{shown(path.parent)} is no run: it has no {shown(path.name)}"
        raise RunError(message, hint="runs are folders in that of --runs")
    try:
        return read_record(path, Manifest)
    except RunCorrupt:
        _check_experiment(path)
        raise


def _check_experiment(path: Path) -> None:
    """Raises SpecError where the experiment of a damaged manifest is at fault."""
    try:
        tree = parse(read(path).decode("utf-8"), str(path))
    except (UnicodeDecodeError, SpecError):
        return  # it is no JSON at all
    if isinstance(tree.value, dict) and "experiment" in tree.entries:
        validated(tree.entries["experiment"], str(path))


def runs_folder(given: Path | None) -> Path:
    """Where runs are: as given, else by MNIST_ARCH_RUNS, else `runs`. Raises PathError."""
    return expanded(given or os.environ.get("MNIST_ARCH_RUNS") or "runs")


def all_runs(parent: Path, *, name: str | None = None) -> list[Run]:
    """The runs in a folder, of one network where a name is given, the latest first.

    Folders put aside do not count. Those that may not be entered are left out, unless there are no
    others. Raises StorageError.
    """
    started: dict[Path, str] = {}
    refused: list[StorageError] = []
    for inside in names_in(parent):
        folder = parent / inside
        if name not in (None, Run(folder).name):
            continue
        try:
            if _is_run(folder):
                started[folder] = _started(folder)
        except StorageError as error:
            refused.append(error)
    if refused and not started:
        raise refused[0]
    return [
        Run(folder)
        for folder in sorted(started, key=lambda folder: (started[folder], folder), reverse=True)
    ]


def latest(parent: Path, *, name: str | None = None) -> Run | None:
    """The run that was started last, of one network where a name is given."""
    return next(iter(all_runs(parent, name=name)), None)


def _is_run(folder: Path) -> bool:
    is_called_so = re.search(r"-s\d+\Z", folder.name) is not None
    return is_called_so and is_folder(folder) and is_there(Run(folder).manifest_path)


def _started(folder: Path) -> str:
    """When a run was started; empty where its manifest is damaged. Raises StorageError."""
    with contextlib.suppress(RunError, SpecError):
        return Run(folder).manifest().started
    return ""
