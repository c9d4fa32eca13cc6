"""The score of an experiment: its runs, which differ in their seed alone, as one stored value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from mnist_arch.data.catalog import DatasetName, SplitName
from mnist_arch.evaluation.judgement import SeedAccuracies
from mnist_arch.files import write_whole
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Budget, Verdicts
from mnist_arch.values import FORMAT, Record


class Score(Record):
    """What several seeds of an experiment come to at their final epochs: mean, spread, bound."""

    format: int = FORMAT
    name: str
    digest: str
    dataset: DatasetName
    split: SplitName
    seeds: list[int]
    images: int
    """Images that each run was judged on."""
    mean_percent: float
    """Mean accuracy of the seeds."""
    spread_percent: float | None
    """Sample standard deviation (n - 1) over the seeds, in percent points; null for one seed."""
    bound_percent: float | None
    """One-sided 95 % lower bound of the mean over seeds; null for one seed."""
    verdicts: Verdicts
    """The accuracy rule is judged on the mean, as an exact fraction."""
    results: list[Result]

    @classmethod
    def of(cls, results: Sequence[Result], budget: Budget) -> Self:
        """The score of finished runs, in the order given, under `budget`.

        Raises ValueError without runs, for runs of several experiments, and for repeated seeds.
        """
        if len({(it.digest, it.dataset, it.split, it.images) for it in results}) != 1:
            raise ValueError("a score is of one experiment on one split")
        if len({it.seed for it in results}) != len(results):
            raise ValueError("the seeds of a score differ from each other")
        first = results[0]
        seeds = SeedAccuracies.of([result.correct for result in results], first.images)
        accuracy = budget.accuracy_verdict(
            correct=sum(seeds.correct),
            images=seeds.runs * seeds.images,
            dataset=first.dataset,
            split=first.split,
        )
        return cls(
            name=first.name,
            digest=first.digest,
            dataset=first.dataset,
            split=first.split,
            seeds=[result.seed for result in results],
            images=first.images,
            mean_percent=seeds.mean_percent,
            spread_percent=seeds.spread_percent,
            bound_percent=seeds.bound_percent,
            verdicts=first.verdicts.model_copy(update={"accuracy": accuracy}),
            results=list(results),
        )

    def write(self, parent: Path) -> Path:
        """Writes `<name>-<digest8>-seeds<n>.json` into the folder of the runs.

        Returns its path. Raises StorageError.
        """
        path = parent / f"{self.name}-{self.digest[:8]}-seeds{len(self.seeds)}.json"
        write_whole(path, self.json_text().encode())
        return path
