"""What a network that ships has reached, seed by seed. Nothing here imports torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mnist_arch.data.catalog import DatasetName, SplitName
from mnist_arch.errors import RunError
from mnist_arch.evaluation.crossed import crossed_bound_percent
from mnist_arch.evaluation.judgement import SeedAccuracies
from mnist_arch.files import is_there, read
from mnist_arch.runs.folder import Run
from mnist_arch.runs.manifest import TeacherRecord
from mnist_arch.training.engine import Engine
from mnist_arch.values import FORMAT, Record, read_record

EVIDENCE: Final = "evidence.json"


class SeedEvidence(Record):
    """The final epoch of one seed."""

    seed: int
    correct: int
    """Images that it is right about."""
    mistakes: list[int]
    """Places, from 0, of the images that it is wrong about."""
    seconds: float
    """Data, training and evaluation."""
    started: str
    """UTC, ISO 8601."""
    command: list[str]
    commit: str | None
    """Of the program."""


class Evidence(Record):
    """Every seed of one experiment, each judged once on the same images."""

    format: int = FORMAT
    digest: str
    """Of the experiment."""
    parameters: int
    epochs: int
    dataset: DatasetName
    split: SplitName
    images: int
    """Images that each seed was judged on."""
    data_sha256: str
    engine: Engine
    versions: dict[str, str]
    machine: str
    """Where it was trained, in words."""
    weights_sha256: str
    """Of the weights file next to it, which is of the first seed."""
    seeds: list[SeedEvidence]
    teacher: TeacherRecord | None = None
    """Whom every seed has learned from, besides the labels; null without a teacher."""

    @classmethod
    def of(cls, runs: Sequence[Run], *, machine: str) -> Evidence:
        """Of finished runs that differ in their seed alone. Raises RunError for any others."""
        manifests = [run.manifest() for run in runs]
        results = [run.result() for run in runs]
        first, result = manifests[0], results[0]
        if result is None or any(it is None or it.mistakes is None for it in results):
            raise RunError("a run is not finished, or does not say which images are wrong")
        alike = {(it.digest, it.data_sha256, it.engine) for it in manifests}
        if len(alike) > 1:
            raise RunError("the runs differ in more than their seed")
        seeds = [
            SeedEvidence(
                seed=manifest.seed,
                correct=it.correct,
                mistakes=it.mistakes,
                seconds=it.seconds,
                started=manifest.started,
                command=manifest.command,
                commit=None if manifest.git is None else manifest.git.commit,
            )
            for manifest, it in zip(manifests, results, strict=True)
            if it is not None and it.mistakes is not None
        ]
        return cls(
            digest=result.digest,
            parameters=result.parameters,
            epochs=result.epochs,
            dataset=result.dataset,
            split=result.split,
            images=result.images,
            data_sha256=first.data_sha256,
            engine=first.engine,
            versions=first.versions,
            machine=machine,
            weights_sha256=sha256_of(runs[0].weights_path),
            seeds=seeds,
            teacher=first.teacher,
        )

    @property
    def accuracies(self) -> SeedAccuracies:
        """The mean over the seeds, its spread and its bound."""
        return SeedAccuracies.of([it.correct for it in self.seeds], self.images)

    @property
    def teacher_seconds(self) -> float:
        """Of the training of the teacher; 0 without one, and where it is not known."""
        return 0.0 if self.teacher is None else self.teacher.seconds or 0.0

    @property
    def crossed_bound_percent(self) -> float | None:
        """A bound over seeds and images, since other images would give another mean, too."""
        return crossed_bound_percent([it.mistakes for it in self.seeds], self.images)


def evidence_beside(weights: Path) -> Evidence | None:
    """The evidence in the folder of a weights file, where it is of these weights.

    Raises StorageError, or RunCorrupt for evidence that is damaged.
    """
    path = weights.parent / EVIDENCE
    if not is_there(path):
        return None
    evidence = read_record(path, Evidence)
    return evidence if evidence.weights_sha256 == sha256_of(weights) else None


def sha256_of(path: Path) -> str:
    """Of the file, in hexadecimal digits. Raises StorageError."""
    return hashlib.sha256(read(path)).hexdigest()
