"""Several runs of one experiment, which differ in their seed alone, as one result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnist_arch.counting.budget import accuracy_verdict
from mnist_arch.data.catalog import DatasetName
from mnist_arch.evaluation.score import Score
from mnist_arch.files import write_whole
from mnist_arch.runs.result import Result, SplitName, Verdicts
from mnist_arch.spec.experiment import Budget
from mnist_arch.values import FORMAT, Record


class GroupResult(Record):
    """Final epochs of all seeds: mean, spread and bound."""

    format: int = FORMAT
    name: str
    digest: str
    dataset: DatasetName
    split: SplitName
    seeds: list[int]
    images: int
    mean_percent: float
    spread_percent: float | None
    """Sample standard deviation (n - 1) over the seeds, in percent points; null for one seed."""
    bound_percent: float | None
    """One-sided 95 % lower bound of the mean over seeds; null for one seed."""
    verdicts: Verdicts
    """The accuracy rule is judged on the mean, as an exact fraction."""
    results: list[Result]


def group(results: Sequence[Result], budget: Budget) -> GroupResult:
    """The group of finished runs, in the order given. Raises ValueError for mixed experiments."""
    if len({(it.digest, it.dataset, it.split, it.images) for it in results}) != 1:
        raise ValueError("a group is of one experiment on one split")
    if len({it.seed for it in results}) != len(results):
        raise ValueError("the seeds of a group differ from each other")
    first = results[0]
    score = Score.of([result.correct for result in results], first.images)
    accuracy = accuracy_verdict(
        budget,
        correct=sum(score.correct),
        images=score.runs * score.images,
        dataset=first.dataset,
        split=first.split,
    )
    return GroupResult(
        name=first.name,
        digest=first.digest,
        dataset=first.dataset,
        split=first.split,
        seeds=[result.seed for result in results],
        images=first.images,
        mean_percent=score.mean_percent,
        spread_percent=score.spread_percent,
        bound_percent=score.bound_percent,
        verdicts=first.verdicts.model_copy(update={"accuracy": accuracy}),
        results=list(results),
    )


def write_group(result: GroupResult, parent: Path) -> Path:
    """Writes `<name>-<digest8>-seeds<n>.json` into the folder of the runs. Raises StorageError."""
    path = parent / f"{result.name}-{result.digest[:8]}-seeds{len(result.seeds)}.json"
    write_whole(path, result.json_text().encode())
    return path
