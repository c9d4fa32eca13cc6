"""The score of an experiment: its runs, which differ in their seed alone, as one stored value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from mnist_arch.data.catalog import DatasetName, SplitName, in_words
from mnist_arch.evaluation.judgement import SeedAccuracies
from mnist_arch.files import write_whole
from mnist_arch.html import table
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Budget, Verdicts
from mnist_arch.values import FORMAT, Record


def accuracies_of(results: Sequence[Result]) -> SeedAccuracies:
    """The accuracies of runs on the same images, or on folds. Raises ValueError without any."""
    correct, on = [it.correct for it in results], [it.on for it in results]
    folds = [it for it in on if it is not None]
    if folds:
        return SeedAccuracies.over_folds(correct, folds)
    return SeedAccuracies.of(correct, results[0].images if results else 0)


class SeedScore(Record):
    """What several seeds reach on one split: mean, spread and bound, in percent."""

    split: SplitName
    images: int
    """Images that each run was judged on; of folds, which differ by one, the most."""
    seeds: list[int]
    mean_percent: float
    """Mean accuracy of the seeds."""
    spread_percent: float | None
    """Sample standard deviation (n - 1) over the seeds, in percent points; null for one seed."""
    bound_percent: float | None
    """One-sided 95 % lower bound of the mean over seeds; null for one seed."""
    folds: int | None = None
    """How many folds the hold-out is one of; each seed is judged on the next. Null without any."""

    @staticmethod
    def values_of(results: Sequence[Result]) -> dict[str, Any]:
        """The values of these fields for runs of one experiment, in the order given."""
        seeds = accuracies_of(results)
        return {
            "split": results[0].split,
            "images": seeds.images,
            "seeds": [it.seed for it in results],
            "mean_percent": seeds.mean_percent,
            "spread_percent": seeds.spread_percent,
            "bound_percent": seeds.bound_percent,
            "folds": seeds.on[0].folds if seeds.on else None,
        }


class Score(SeedScore):
    """The final epochs of all seeds of an experiment, with its verdicts."""

    format: int = FORMAT
    name: str
    digest: str
    dataset: DatasetName
    verdicts: Verdicts
    """The accuracy rule is judged on the mean, as an exact fraction."""
    results: list[Result]

    @classmethod
    def of(cls, results: Sequence[Result], budget: Budget) -> Self:
        """The score of finished runs, in the order given, under `budget`.

        Raises ValueError without runs, for runs of several experiments, and for repeated seeds.
        """
        of = {
            (it.digest, it.dataset, it.split, it.images if it.on is None else it.on.folds)
            for it in results
        }
        if len(of) != 1:
            raise ValueError("a score is of one experiment on one split")
        if len({it.seed for it in results}) != len(results):
            raise ValueError("the seeds of a score differ from each other")
        first = results[0]
        accuracy = budget.accuracy_verdict(
            correct=sum(it.correct for it in results),
            images=sum(it.images for it in results),
            dataset=first.dataset,
            split=first.split,
        )
        return cls(
            **cls.values_of(results),
            name=first.name,
            digest=first.digest,
            dataset=first.dataset,
            verdicts=first.verdicts.model_copy(update={"accuracy": accuracy}),
            results=list(results),
        )

    def __str__(self) -> str:
        """`99.523 ± 0.031 % (test, 5 seeds)`; `… (validation, 5 seeds on 5 of 12 folds)`."""
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) != 1 else ''}"
        if self.folds is not None:
            judged = len({seed % self.folds for seed in self.seeds})
            seeds = f"{seeds} on {judged} of {self.folds} folds"
        spread = "" if self.spread_percent is None else f" ± {self.spread_percent:.3f}"
        return f"{self.mean_percent:.3f}{spread} % ({self.split}, {seeds})"

    def __repr__(self) -> str:
        return f"Score({self.name}: {self})"

    def _repr_html_(self) -> str:
        rows: list[tuple[object, ...]] = [
            (it.seed, it.correct, f"{it.accuracy_percent:.2f} %", _interval(it))
            for it in self.results
        ]
        bound = "–" if self.bound_percent is None else f"≥ {self.bound_percent:.3f} %"
        rules = ", ".join(f"{rule} {it}" for rule, it in self.verdicts.model_dump().items())
        rows += [("mean", None, str(self), bound), ("rules", None, rules, None)]
        title = f"{self.name} on {in_words(self.dataset)}, {self.images:,} images"
        return table(title, ("seed", "correct", "accuracy", "95 %"), rows)

    def write(self, parent: Path) -> Path:
        """Writes `<name>-<digest8>-seeds<n>.json` into the folder of the runs.

        Returns its path. Raises StorageError.
        """
        path = parent / f"{self.name}-{self.digest[:8]}-seeds{len(self.seeds)}.json"
        write_whole(path, self.json_text().encode())
        return path


def _interval(result: Result) -> str:
    low, high = result.interval_percent
    return f"{low:.2f}–{high:.2f}"
