"""The folder of a sweep, which is its ledger: what became of each trial. Nothing imports torch.

runs/<name>/
    <arm>-<digest8>-s<seed>/    the run of a trial, as `train` leaves it, and beside its files
        log                     what its process printed
        failure.json            why it failed
        pruned.json             when it was ended, being worse than others
    sweep.json                  what was last asked for
    study.jsonl                 the proposals of a search
    leaderboard.json, .csv, .png
                                the answer to what was last asked for
    leaderboard-<digest8>.json, .csv, .png
                                the answer to what was asked for before
"""

from __future__ import annotations

import contextlib
import re
import shutil
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final

from pydantic import Field

from mnist_arch.data.catalog import DatasetName
from mnist_arch.errors import FailureKind, RunCorrupt, RunError
from mnist_arch.files import (
    hold,
    is_held,
    is_there,
    make_folder,
    names_in,
    storage_errors,
    write_whole,
)
from mnist_arch.runs.folder import SWEEP, Run
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.planning import Trial
from mnist_arch.training.engine import Engine
from mnist_arch.values import FORMAT, Record, read_record

BOARD: Final = "leaderboard"
"""The name of a leaderboard's files, without what follows the dot."""
BOARD_SUFFIXES: Final = (".json", ".csv", ".png")

LOG_LINES: Final = 20
"""Last lines of a trial's log that are kept with its failure."""


class TrialStatus(StrEnum):
    """What became of a trial."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    PRUNED = "PRUNED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"


class Failure(Record):
    """Why a trial failed."""

    format: int = FORMAT
    kind: FailureKind
    reason: str
    hint: str = ""
    log_tail: list[str] = Field(default_factory=list)
    """Last lines that its process printed."""
    time: str
    """UTC, ISO 8601."""


class Pruned(Record):
    """Where a trial was ended."""

    format: int = FORMAT
    epoch: int
    correct: int
    images: int
    by: str
    """The study of the search that ended it."""
    time: str
    """UTC, ISO 8601."""


class Asked(Record):
    """What was last asked for in a folder."""

    format: int = FORMAT
    source: str
    """The sweep's file."""
    dataset: DatasetName
    auto: DatasetName | None = None
    """What `auto` was when it was last asked for, so that `look` knows; null before that."""
    engine: Engine | None = None
    """With which trials are begun; null in a folder of before it was written down."""
    question: str = ""
    """Digest of what the leaderboard in the folder answers; see `SweepPlan.question`."""
    command: list[str]
    """The command line."""
    started: str
    """UTC, ISO 8601."""


class Ledger:
    """The trials in a sweep's folder, by digest and seed. Their names may change; these do not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._results: dict[tuple[str, int], Result] = {}
        self.taken: list[Path] = []
        """Runs of others that were taken up by this process."""

    @cached_property
    def _names(self) -> dict[tuple[str, int], str]:
        """Folders that are there, by the first eight digits of the digest and the seed."""
        found: dict[tuple[str, int], str] = {}
        for name in names_in(self.folder):
            if (key := _key(name)) is not None:
                found[key] = name
        return found

    @cached_property
    def _beside(self) -> dict[tuple[str, int], list[Path]]:
        """Runs of trainings and of other sweeps in the folder that this one is in, likewise."""
        found: dict[tuple[str, int], list[Path]] = {}
        others = [self.folder.parent / name for name in names_in(self.folder.parent)]
        others = [it for it in others if it != self.folder and it.is_dir()]
        sweeps = (it for it in others if is_there(it / SWEEP))
        for run in (*others, *(it / name for it in sweeps for name in names_in(it))):
            if (key := _key(run.name)) is not None:
                found.setdefault(key, []).append(run)
        return found

    def take(self, trial: Trial) -> Result | None:
        """The result of a finished run beside this folder that is the trial, which is copied here.

        It is the trial where digest and seed are, and with them the network, the recipe, the
        dataset and the hold-out. None where there is none, or the trial has begun here. Raises
        StorageError.
        """
        if self._is_there(trial):
            return None
        for folder in self._beside.get((trial.digest[:8], trial.seed), ()):
            run = Run(folder)
            with contextlib.suppress(RunError):  # one that cannot be read is not taken
                result = run.result()
                if result is None or (result.digest, result.seed) != trial.key:
                    continue
                if not is_there(run.pruned_path):
                    self._copy(folder, self.run(trial).folder)
                    self.taken.append(folder)
                    return result
        return None

    def _copy(self, source: Path, target: Path) -> None:
        """A run without what it would need to be resumed, whole or not at all."""
        unfinished = target.with_name(f".{target.name}")
        with storage_errors(target):
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(source, unfinished, ignore=shutil.ignore_patterns("checkpoint", ".*"))
            unfinished.replace(target)

    def run(self, trial: Trial) -> Run:
        """The run of a trial; its folder need not be there yet."""
        digest8 = trial.digest[:8]
        name = self._names.get((digest8, trial.seed))
        return Run(self.folder / (name or f"{trial.arm.name}-{digest8}-s{trial.seed}"))

    def _is_there(self, trial: Trial) -> bool:
        return (trial.digest[:8], trial.seed) in self._names

    def started(self, trial: Trial) -> None:
        """Takes note of a folder that was made after this ledger was read."""
        self._names[trial.digest[:8], trial.seed] = self.run(trial).folder.name

    def has_begun(self, trial: Trial) -> bool:
        """Whether some of it has been trained, or is about to be."""
        return self._is_there(trial) and is_there(self.run(trial).manifest_path)

    def status(self, trial: Trial) -> TrialStatus:
        """What became of a trial, as its files say; RUNNING is known only to who runs it."""
        if not self._is_there(trial):
            return TrialStatus.WAITING
        run = self.run(trial)
        if is_there(run.pruned_path):  # whatever it still did after it was told to end
            return TrialStatus.PRUNED
        if self.result(trial) is not None:
            return TrialStatus.DONE
        return TrialStatus.FAILED if is_there(run.failure_path) else TrialStatus.WAITING

    def result(self, trial: Trial) -> Result | None:
        """The result of a finished trial. Raises RunCorrupt, EarlierFormat or LaterFormat."""
        if trial.key not in self._results and self._is_there(trial):
            result = self.run(trial).result()
            if result is None or (result.digest, result.seed) != trial.key:
                return None  # the latter is an experiment whose digest begins alike
            self._results[trial.key] = result
        return self._results.get(trial.key)

    def failure(self, trial: Trial) -> Failure | None:
        path = self.run(trial).failure_path
        return read_record(path, Failure) if is_there(path) else None

    def pruned(self, trial: Trial) -> Pruned | None:
        path = self.run(trial).pruned_path
        return read_record(path, Pruned) if is_there(path) else None

    def fail(self, trial: Trial, failure: Failure) -> None:
        """Writes why a trial failed. Raises StorageError."""
        make_folder(self.run(trial).folder)
        write_whole(self.run(trial).failure_path, failure.json_text().encode())

    def prune(self, trial: Trial, pruned: Pruned) -> None:
        """Writes where a trial was ended. Raises StorageError."""
        write_whole(self.run(trial).pruned_path, pruned.json_text().encode())

    def take_up(self, trial: Trial) -> None:
        """Forgets that a trial failed or was ended early: it resumes from its checkpoint."""
        run = self.run(trial)
        with storage_errors(self.folder):
            for path in (run.failure_path, run.pruned_path):
                path.unlink(missing_ok=True)

    def curve(self, trial: Trial) -> list[tuple[int, float]]:
        """Each epoch that a trial has done, with its share of correct images, up to where it was
        ended early. Of what is damaged nothing is said.
        """
        if not self._is_there(trial):
            return []
        pruned = self.pruned(trial)
        records = self.run(trial).curve()
        last = len(records) if pruned is None else pruned.epoch
        return [
            (epoch, record["correct"] / record["images"])
            for epoch, record in enumerate(records[:last], start=1)
            if record.get("correct") is not None
        ]

    @property
    def _asked_path(self) -> Path:
        return self.folder / SWEEP

    def asked(self) -> Asked | None:
        """None for a sweep that was never started. Raises RunCorrupt, Earlier- or LaterFormat."""
        if not is_there(self._asked_path):
            return None
        return read_record(self._asked_path, Asked, hint="name another folder with out=")

    def check_format(self) -> None:
        """Raises EarlierFormat or LaterFormat for the folder of another version's sweep."""
        self.last_asked()

    def ask(self, asked: Asked) -> Path | None:
        """Takes note of what is asked for now. Raises StorageError, Earlier- or LaterFormat.

        The leaderboard of another question is put aside, and one of this question that was put
        aside is in its place again. Returns the path of what was put aside, or None.
        """
        before = self.last_asked()
        question = "" if before is None else before.question
        aside = None
        if question != asked.question:
            aside = self._rename(BOARD, _aside(question))
        write_whole(self._asked_path, asked.json_text().encode())
        self._rename(_aside(asked.question), BOARD)
        return aside

    def last_asked(self) -> Asked | None:
        """As `asked`, but None where it is damaged, too: it is about to be written again."""
        with contextlib.suppress(RunCorrupt):
            return self.asked()
        return None

    def _rename(self, stem: str, new: str) -> Path | None:
        """Renames the files of a leaderboard; returns the first new path, None without any."""
        renamed = []
        for suffix in BOARD_SUFFIXES:
            path, target = self.folder / f"{stem}{suffix}", self.folder / f"{new}{suffix}"
            if is_there(path):
                with storage_errors(target):
                    path.replace(target)
                renamed.append(target)
        return renamed[0] if renamed else None

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Holds the whole folder. Raises RunLocked where another process does, or StorageError."""
        return hold(self.folder)

    def is_running(self) -> bool:
        """Whether some process works on the sweep now, as far as one may know."""
        return is_held(self.folder)


def _key(name: str) -> tuple[str, int] | None:
    """The first eight digits of the digest, and the seed, in the name of a run's folder."""
    match = re.search(r"\A[^.].*-([0-9a-f]{8})-s(\d+)\Z", name)
    return None if match is None else (match[1], int(match[2]))


def _aside(question: str) -> str:
    """The name of a leaderboard that was put aside, by its question, as far as that is known."""
    return f"{BOARD}-{question[:8] or 'before'}"


def log_path(run: Run) -> Path:
    """What the process of a trial printed."""
    return run.folder / "log"


def log_tail(run: Run) -> list[str]:
    """The last lines of a trial's log."""
    with contextlib.suppress(OSError):
        return log_path(run).read_text("utf-8", "replace").splitlines()[-LOG_LINES:]
    return []
