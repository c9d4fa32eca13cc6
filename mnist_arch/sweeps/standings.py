"""The answer of a sweep as a value: a line for each arm, the effects of a grid, as JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Self

from pydantic import Field

from mnist_arch.data.catalog import DatasetName, in_words
from mnist_arch.data.folds import held_out_text
from mnist_arch.errors import ExitCode, ExtraMissing, FailureKind
from mnist_arch.evaluation.comparison import Difference
from mnist_arch.evaluation.effects import Effect
from mnist_arch.html import table
from mnist_arch.runs.result import Result
from mnist_arch.runs.score import SeedScore
from mnist_arch.spec.experiment import Budget, Verdicts
from mnist_arch.sweeps.ledger import TrialStatus
from mnist_arch.sweeps.spec import Cost
from mnist_arch.values import FORMAT, Record

if TYPE_CHECKING:
    from pandas import DataFrame


class ArmScore(SeedScore):
    """Runs of one arm on one split."""

    correct: list[int]
    """Correct images of each run."""

    @classmethod
    def of(cls, results: Sequence[Result]) -> Self:
        """The score of runs on the same images. Raises IndexError without runs."""
        return cls(**cls.values_of(results), correct=[it.correct for it in results])

    def __str__(self) -> str:
        """`98.933 ± 0.042 (3)`; of one seed there is no spread."""
        spread = "" if self.spread_percent is None else f" ± {self.spread_percent:.3f}"
        return f"{self.mean_percent:.3f}{spread} ({len(self.seeds)})"


class Outcome(Record):
    """What became of one trial."""

    seed: int
    fold: int | None = None
    """The fold that it is judged on, from 0; null where there are none."""
    state: TrialStatus
    reason: str = ""
    """Of a failure."""
    kind: FailureKind | None = None
    """Of a failure."""
    folder: str = ""
    """Its folder in that of the sweep; empty where it has not begun."""


class Standing(Record):
    """One arm. Only arms whose trials are all done have a rank."""

    rank: int | None
    """By the mean on the hold-out; from 1."""
    name: str
    also: list[str]
    """Names of arms that are the same experiment."""
    differs: dict[str, str]
    """From the base: path and value."""
    parameters: int
    """This and the next three are 0 where the network cannot be built."""
    macs: int
    inference_bytes: int | None = None
    """To classify one image, in float32; null where nothing asks for it."""
    epochs: int
    trials: list[Outcome]
    """Of the ranking."""
    final: list[Outcome] = Field(default_factory=list)
    """Of a finalist, its trials on all training images."""
    rejected: str
    """Why it is not trained; empty where it is."""
    holdout: ArmScore | None
    against_first: Difference | None
    """This arm minus the first; null for the first, and where there is nothing to compare."""
    tied: bool
    """Whether it does not differ significantly from the first; true of the first itself."""
    front: bool
    """Whether no other arm is as accurate at less cost, or better at as much."""
    reaches: bool | None = None
    """Whether the bound of its mean is what is asked for, where the smallest such is looked for."""
    test: ArmScore | None
    """Of a finalist all of whose runs, which read the test split once each, are done."""
    seconds: float
    """Of all its runs together."""
    verdicts: Verdicts
    """The accuracy rule has a verdict for finalists only."""

    @property
    def states(self) -> Counter[TrialStatus]:
        """How many trials of the ranking have each status; an arm that is rejected has none."""
        return Counter(trial.state for trial in self.trials)

    @property
    def failures(self) -> list[Outcome]:
        """Trials that failed, finals included."""
        return [trial for trial in (*self.trials, *self.final) if trial.state is TrialStatus.FAILED]


class Proposed(Record):
    """What a search has proposed so far."""

    trials: int
    """Experiments within the budget, each of which is a trial."""
    rejected: int
    """Proposals that were over the budget or could not be built."""
    repeated: int
    """Proposals of what had been proposed before."""
    shortfall: str
    """Why it has ended with fewer trials than the file asks for; empty where it has not."""
    is_given_up: bool
    """Whether that is because too many proposals in a row were in vain."""


class Leaderboard(Record):
    """The answer of a sweep."""

    format: int = FORMAT
    name: str
    dataset: DatasetName
    holdout_images: int
    """Images that each trial of the ranking is judged on; of folds, which differ by one, the most.
    """
    folds: int | None = None
    """In how many folds the training images are; null where a number of them is held out."""
    budget: Budget
    standings: list[Standing]
    """The ranked arms first, then those that are not finished, failed or rejected."""
    effects: list[Effect]
    """Main effects of a grid's axes on the hold-out accuracy."""
    states: dict[TrialStatus, int]
    """Number of trials of each status, finalists' included."""
    search: Proposed | None
    """What the search has proposed; null where there is none."""
    cost: Cost = "parameters"
    """What is to be small."""
    asked_percent: float | None = None
    """What the bound of the mean is to reach, where the smallest that does is looked for."""

    @property
    def held_out(self) -> str:
        """`5,000 images held out`, or `12 folds of 5,000 images`."""
        return held_out_text(self.holdout_images, self.folds)

    def cost_of(self, it: Standing) -> int:
        """What an arm has of what is to be small."""
        costs = {"parameters": it.parameters, "macs": it.macs, "bytes": it.inference_bytes}
        return costs[self.cost] or 0

    def __repr__(self) -> str:
        states = states_text(Counter(self.states))
        return f"Leaderboard({self.name} on {in_words(self.dataset)}: {states})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = [
            (it.rank, it.name, it.holdout, it.test, it.parameters, it.macs, "=" if it.tied else "")
            for it in self.standings
        ]
        headings = ("rank", "name", "hold-out", "test", "parameters", "MACs", "like the first")
        return table(f"{self.name} on {in_words(self.dataset)}", headings, rows)

    def to_frame(self) -> DataFrame:
        """The lines of `leaderboard.csv`, an arm a row. Raises ExtraMissing without pandas."""
        try:
            import pandas
        except ImportError:
            hint = "pip install 'mnist-arch[pandas]'"
            raise ExtraMissing(
                "a data frame needs pandas, of the extra `pandas`", hint=hint
            ) from None
        return pandas.read_csv(io.StringIO(csv_text(self)), keep_default_na=False, na_values=[""])

    @property
    def failed(self) -> bool:
        """Whether a trial has."""
        return self.states.get(TrialStatus.FAILED, 0) > 0

    @property
    def exit_code(self) -> ExitCode | None:
        """What a command ends with where a trial failed or the search gave up; else None."""
        failed = (trial for it in self.standings for trial in it.failures)
        codes = {trial.kind.exit_code for trial in failed if trial.kind is not None}
        if self.search is not None and self.search.is_given_up:
            codes.add(ExitCode.ANSWER_IS_NO)
        return max(codes, default=None)


_SCORE: Final = ("mean_percent", "spread_percent", "runs")
_COLUMNS: Final = (
    *("rank", "name", "also", "state", "differs", "parameters", "macs", "epochs"),
    *(f"holdout_{column}" for column in _SCORE),
    *("difference_percent", "difference_low", "difference_high", "difference_test"),
    *("adjusted_p_value",),
    *("tied_with_first", "pareto_front"),
    *(f"test_{column}" for column in _SCORE),
    *("seconds", "keeps_parameters", "keeps_epochs", "keeps_accuracy"),
    *("keeps_macs", "keeps_bytes", "inference_bytes", "holdout_bound_percent", "reaches"),
    *("reason", "format"),
)


def csv_text(board: Leaderboard) -> str:
    """One line an arm, numbers unrounded."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for it in board.standings:
        difference = it.against_first
        low, high = difference.interval_percent if difference else ("", "")
        holdout = _cells(it.holdout)
        differs = "; ".join(f"{path}={value}" for path, value in it.differs.items())
        state = TrialStatus.REJECTED if it.rejected else states_text(it.states)
        table.writerow(
            [
                *(it.rank or "", it.name, "; ".join(it.also), state, differs),
                *(it.parameters, it.macs, it.epochs),
                *holdout,
                *(difference.percent if difference else "", low, high),
                *(difference.test if difference else "",),
                *(difference.adjusted_p_value if difference else "", it.tied, it.front),
                *_cells(it.test),
                *(it.seconds, it.verdicts.parameters, it.verdicts.epochs, it.verdicts.accuracy),
                *(it.verdicts.macs or "", it.verdicts.bytes or "", it.inference_bytes or ""),
                *(_bound(it.holdout), "" if it.reaches is None else it.reaches),
                it.rejected or "; ".join(trial.reason for trial in it.failures),
                board.format,
            ]
        )
    return text.getvalue()


def states_text(states: Counter[TrialStatus]) -> str:
    """`27 DONE, 3 WAITING`."""
    return ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))


def _bound(scored: ArmScore | None) -> float | str:
    bound = None if scored is None else scored.bound_percent
    return "" if bound is None else bound


def _cells(scored: ArmScore | None) -> tuple[object, object, object]:
    if scored is None:
        return "", "", 0
    spread = "" if scored.spread_percent is None else scored.spread_percent
    return scored.mean_percent, spread, len(scored.seeds)
