"""The folder of a run: its name, its files, who may write to it. Nothing here imports torch.

runs/<name>-<digest8>-s<seed>/
    manifest.json         written before training: what was asked for, with what, on what
    metrics.jsonl         one EpochRecord a line, with the format number
    checkpoint            state of the training after the last epoch; the truth about how far it is
    teacher.safetensors   the weights that it learns from, where its recipe has a teacher
    weights.safetensors   the result's weights, with the spec in the header
    curves.png            loss, accuracy and learning rate by epoch
    result.json           written last: a run with a result is finished
    readings.jsonl        later readings of the test split by `eval`, one a line
    name.json             the name that it is shown by, where `runs rename` gave it one

A run is known by its manifest, not by the name of its folder, which may be moved and renamed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from mnist_arch.errors import FROM_SCRATCH, RunCorrupt, RunError, SpecError, StorageError
from mnist_arch.files import (
    append_line,
    expanded,
    hold,
    is_there,
    read,
    refusal,
    remove_unfinished,
    shown,
    storage_errors,
    write_whole,
)
from mnist_arch.runs.manifest import Manifest
from mnist_arch.runs.result import Reading, Result
from mnist_arch.runs.stored import (
    named_by,
    network_name,
    shown_name,
    stored_manifest,
    stored_object,
)
from mnist_arch.spec.loading import validated
from mnist_arch.spec.strict_yaml import parse
from mnist_arch.values import FORMAT, Record, check_format, read_record

LABEL: Final = "name.json"
"""File of the name that a run is shown by, in its folder."""
SWEEP: Final = "sweep.json"
"""File that a folder has which is a sweep's."""
TEACHER: Final = "teacher.safetensors"
"""File of the weights that a run learns from, in its folder."""
DEPTH: Final = 4
"""Folders in folders in which runs are looked for."""

_ASIDE: Final = re.compile(r"-s\d+\.\d+\Z")


class Label(Record):
    """The name that a run was given."""

    format: int = FORMAT
    name: str


@dataclasses.dataclass(frozen=True)
class Run:
    """The folder of one run."""

    MANIFEST: ClassVar[str] = "manifest.json"

    folder: Path

    @property
    def name(self) -> str:
        """The name that it is shown by: its own, or else that of its network and its changes."""
        return shown_name(*_stored(self.folder), self.folder.name)

    @property
    def label_path(self) -> Path:
        """File of the name that it was given."""
        return self.folder / LABEL

    def rename(self, name: str) -> None:
        """Has it shown by another name. Raises StorageError."""
        write_whole(self.label_path, Label(name=name).json_text().encode())

    @property
    def manifest_path(self) -> Path:
        """File of what the run is."""
        return self.folder / self.MANIFEST

    @property
    def metrics_path(self) -> Path:
        """File of its epochs, one a line."""
        return self.folder / "metrics.jsonl"

    @property
    def checkpoint_path(self) -> Path:
        """File from which its training resumes."""
        return self.folder / "checkpoint"

    @property
    def weights_path(self) -> Path:
        """File of the weights of its result."""
        return self.folder / "weights.safetensors"

    @property
    def teacher_path(self) -> Path:
        """File of the weights that it learns from, where it has a teacher."""
        return self.folder / TEACHER

    @property
    def curves_path(self) -> Path:
        """Picture of its epochs."""
        return self.folder / "curves.png"

    @property
    def result_path(self) -> Path:
        """File of its result, which is written last."""
        return self.folder / "result.json"

    @property
    def failure_path(self) -> Path:
        """File of why it failed, of a trial."""
        return self.folder / "failure.json"

    @property
    def pruned_path(self) -> Path:
        """File of when it was ended early, of a trial."""
        return self.folder / "pruned.json"

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
            raise RunCorrupt(f"{self.folder} has lost its manifest.json", hint=FROM_SCRATCH)
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
            raise RunCorrupt(message, hint=FROM_SCRATCH)
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
        raise RunError(message, hint="runs are folders in that of runs=")
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
    """The runs below a folder, of one name where one is given, the latest first.

    What a name is says `named_by`; those count that it is nearest to. Folders put aside, the bin
    and trials of sweeps do not count. Those that may not be entered are left out, unless there
    are no others. Raises StorageError.
    """
    started: dict[int, dict[Path, str]] = {}
    refused: list[StorageError] = []
    for path, _ in run_folders(parent, refused=refused):
        folder = Path(path)
        try:
            manifest, label = _stored(folder)
        except StorageError as error:
            refused.append(error)
            continue
        when = manifest.get("started")
        when = when if isinstance(when, str) else ""
        near = 0 if name is None else _nearness(name, manifest, label, folder.name)
        if near is not None:
            started.setdefault(near, {})[folder] = when
    found = started[min(started)] if started else {}
    if refused and not found:
        raise refused[0]
    return [
        Run(folder)
        for folder in sorted(found, key=lambda folder: (found[folder], folder), reverse=True)
    ]


def _nearness(
    name: str, manifest: Mapping[str, Any], label: Mapping[str, Any], folder: str
) -> int | None:
    shown, network = shown_name(manifest, label, folder), network_name(manifest, folder)
    return named_by(name, shown=shown, network=network, digest=str(manifest.get("digest", "")))


def latest(parent: Path, *, name: str | None = None) -> Run | None:
    """The run that was started last, of one name where one is given."""
    return next(iter(all_runs(parent, name=name)), None)


def run_folders(
    parent: Path, *, refused: list[StorageError], into_sweeps: bool = False, depth: int = DEPTH
) -> Iterator[tuple[str, dict[str, os.DirEntry[str]]]]:
    """Folders of runs below a folder, with what is in each, in the order of their names.

    Folders that may not be entered are noted in `refused`. Raises StorageError for `parent` itself.
    """
    if not is_there(parent):
        return
    with storage_errors(parent, doing="read"):
        inside = _entries(parent)
    yield from _below(inside, refused, into_sweeps, depth)


def _below(
    inside: dict[str, os.DirEntry[str]], refused: list[StorageError], into_sweeps: bool, depth: int
) -> Iterator[tuple[str, dict[str, os.DirEntry[str]]]]:
    for name in sorted(inside):
        if name.startswith(".") or _ASIDE.search(name):
            continue
        try:
            if not inside[name].is_dir():
                continue
            found = _entries(inside[name])
        except OSError as error:
            if isinstance(error, PermissionError):
                refused.append(refusal(error, Path(inside[name].path), doing="read"))
            continue
        if Run.MANIFEST in found:
            yield inside[name].path, found
        elif depth > 1 and (into_sweeps or SWEEP not in found):
            yield from _below(found, refused, into_sweeps, depth - 1)


def _entries(folder: str | os.PathLike[str]) -> dict[str, os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return {entry.name: entry for entry in entries}


def _stored(folder: Path) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Manifest and label as they are stored, not validated. Raises StorageError."""
    return stored_manifest(folder / Run.MANIFEST), stored_object(folder / LABEL)
