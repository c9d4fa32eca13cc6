"""What a sweep has answered so far: ranks, marks, effects and verdicts, read from its ledger."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_arch.evaluation.comparison import Difference, compare_with_first
from mnist_arch.evaluation.effects import Effect, Factor, main_effects
from mnist_arch.files import make_folder, storage_errors, write_whole
from mnist_arch.runs.comparing import arm_run
from mnist_arch.runs.result import Result
from mnist_arch.runs.score import Score, accuracies_of
from mnist_arch.spec.experiment import Budget, Verdicts
from mnist_arch.sweeps.ledger import Ledger, TrialStatus
from mnist_arch.sweeps.planning import Arm, SweepPlan, Trial
from mnist_arch.sweeps.standings import ArmScore, Leaderboard, Outcome, Proposed, Standing, csv_text

if TYPE_CHECKING:
    from mnist_arch.sweeps.search.proposals import Proposals


@dataclass(frozen=True)
class Ranked:
    """An arm all of whose trials are done."""

    arm: Arm
    results: tuple[Result, ...]
    cost: int
    """Of what is to be small."""
    reaches: bool | None = None
    """Whether it is good enough, where the smallest that is so is looked for."""

    @property
    def mean_share(self) -> Fraction:
        """Of correct images; over folds, of all images that its runs were judged on."""
        return accuracies_of(self.results).mean_share

    @property
    def order(self) -> tuple[int, Fraction, int, str]:
        """Most correct first; of equals the one with fewer parameters.

        Where the smallest is looked for, what is good enough comes first, and of that the smallest.
        """
        small = self.cost if self.reaches else sys.maxsize
        return small, -self.mean_share, self.arm.parameters, self.arm.name


def ranked_arms(plan: SweepPlan, ledger: Ledger, searched: Sequence[Arm] = ()) -> list[Ranked]:
    """The arms whose trials are all done, the best first. Raises what `Ledger.result` does."""
    found = []
    for arm in _alone((*plan.arms, *searched)):
        trials = ranking_trials(plan, arm)
        done = [trial for trial in trials if ledger.status(trial) is TrialStatus.DONE]
        results = [result for trial in done if (result := ledger.result(trial)) is not None]
        if results and len(results) == len(trials):
            reaches = None
            if plan.smallest is not None:
                from mnist_arch.sweeps.search.race import runner

                reaches = runner(plan, ledger, arm, plan.smallest).reached or False
            found.append(Ranked(arm, tuple(results), arm.cost(plan.cost), reaches))
    return sorted(found, key=lambda ranked: ranked.order)


def ranking_trials(plan: SweepPlan, arm: Arm) -> list[Trial]:
    """The trials that an arm is ranked by; none of an arm that is rejected."""
    if arm.rejected:
        return []
    seeds = arm.seeds if arm.proposal is not None else plan.definition.sweep.seeds
    return [Trial(arm, seed, "ranking", arm.digest) for seed in range(seeds)]


def finalists(plan: SweepPlan, ranked: Sequence[Ranked]) -> list[Arm]:
    """The arms that are trained again and judged on test."""
    if (wanted := plan.definition.sweep.finalists) is None:
        return []
    if wanted.front:
        front = _front(ranked)
        return [it.arm for it in ranked if it.arm.digest in front]
    return [it.arm for it in ranked[: wanted.top]]


def board_of(plan: SweepPlan, ledger: Ledger, *, running: bool = False) -> Leaderboard:
    """The whole answer, with what a search has proposed. Raises ExtraMissing; see `leaderboard`."""
    if plan.definition.sweep.search is None:
        return leaderboard(plan, ledger, running=running)
    from mnist_arch.sweeps.search.source import proposals_so_far

    proposals = proposals_so_far(plan, ledger)
    return leaderboard(plan, ledger, proposals=proposals, running=running)


def write_board(board: Leaderboard, folder: Path) -> None:
    """Writes `leaderboard.json` and `.csv`. Raises StorageError."""
    make_folder(folder)
    write_whole(folder / "leaderboard.json", board.json_text().encode())
    write_whole(folder / "leaderboard.csv", csv_text(board).encode())


def draw_board(board: Leaderboard, folder: Path) -> None:
    """Draws `leaderboard.png` again, once an arm is ranked. Raises PictureError and StorageError.

    Where it cannot, the one of an earlier leaderboard is gone, too.
    """
    path = folder / "leaderboard.png"
    with storage_errors(path):
        path.unlink(missing_ok=True)
    if any(standing.rank for standing in board.standings):
        from mnist_arch.sweeps.front import draw_front

        write_whole(path, draw_front(board))


def leaderboard(
    plan: SweepPlan,
    ledger: Ledger,
    *,
    proposals: Proposals | None = None,
    running: bool = False,
) -> Leaderboard:
    """The standings by what is in the ledger. `running` says that some process works on it.

    Raises what `Ledger.result` does for a result that cannot be read.
    """
    sweep, budget = plan.definition.sweep, plan.budget
    searched = _searched(plan, ledger, proposals)
    ranked = ranked_arms(plan, ledger, searched)
    arms = (*plan.arms, *searched)
    rows = _Rows(plan, arms, ledger, budget, running)
    is_final = {arm.digest for arm in finalists(plan, ranked)}
    against = _against_first(ranked)
    front = _front(ranked)
    standings = [
        rows.standing(
            it.arm,
            rank=rank,
            results=it.results,
            against_first=difference,
            tied=rank == 1 or (difference is not None and not difference.significant),
            front=it.arm.digest in front,
            reaches=it.reaches,
            final=plan.final_trials(it.arm) if it.arm.digest in is_final else [],
        )
        for rank, (it, difference) in enumerate(zip(ranked, against, strict=True), start=1)
    ]
    done = {it.arm.digest for it in ranked}
    rest = [arm for arm in _alone(arms) if arm.digest not in done]
    standings += map(rows.standing, sorted(rest, key=lambda arm: bool(arm.rejected)))
    return Leaderboard(
        name=sweep.name,
        dataset=plan.dataset,
        holdout_images=plan.holdout_images,
        folds=plan.folds,
        budget=budget,
        standings=standings,
        effects=_effects(plan, ranked),
        states=rows.states,
        search=None if proposals is None else _proposed(proposals),
        cost=plan.cost,
        asked_percent=plan.smallest and plan.smallest.accuracy_percent,
    )


def _searched(plan: SweepPlan, ledger: Ledger, proposals: Proposals | None) -> list[Arm]:
    if proposals is None:
        return []
    from mnist_arch.sweeps.search.race import raced

    return raced(plan, ledger, proposals.arms)


def _proposed(proposals: Proposals) -> Proposed:
    return Proposed(
        trials=len(proposals.arms),
        rejected=len(proposals.rejections),
        repeated=proposals.repeats,
        shortfall=proposals.shortfall,
        is_given_up=proposals.is_given_up and proposals.has_ended_early,
    )


def _alone(arms: Sequence[Arm]) -> list[Arm]:
    """Each experiment once."""
    return [arm for arm in arms if not arm.same_as]


@dataclass
class _Rows:
    """Makes standings, and counts the states of all trials on the way."""

    plan: SweepPlan
    arms: Sequence[Arm]
    ledger: Ledger
    budget: Budget
    running: bool
    states: Counter[TrialStatus] = field(default_factory=Counter)

    @cached_property
    def also(self) -> dict[str, list[str]]:
        """Names of arms that are the same experiment as another, by the name of that."""
        names: dict[str, list[str]] = {}
        for arm in self.arms:
            if arm.same_as:
                names.setdefault(arm.same_as, []).append(arm.name)
        return names

    def standing(
        self,
        arm: Arm,
        *,
        rank: int | None = None,
        results: Sequence[Result] = (),
        against_first: Difference | None = None,
        tied: bool = False,
        front: bool = False,
        reaches: bool | None = None,
        final: Sequence[Trial] = (),
    ) -> Standing:
        trials = ranking_trials(self.plan, arm)
        if arm.rejected:
            seeds = self.plan.definition.sweep.seeds
            self.states[TrialStatus.REJECTED] += seeds if arm.proposal is None else 1
        own = [self.ledger.result(trial) for trial in trials]
        tests = [result for trial in final if (result := self.ledger.result(trial)) is not None]
        whole = tests if len(tests) == len(final) else []  # a mean of some seeds is no result
        return Standing(
            rank=rank,
            name=arm.name,
            also=self.also.get(arm.name, []),
            differs={it.place: it.value for it in arm.differs},
            parameters=arm.parameters,
            macs=arm.macs,
            inference_bytes=arm.inference_bytes,
            epochs=arm.epochs,
            trials=[self._outcome(trial) for trial in trials],
            final=[self._outcome(trial) for trial in final],
            rejected=arm.rejected,
            holdout=ArmScore.of(results) if results else None,
            against_first=against_first,
            tied=tied,
            front=front,
            reaches=reaches,
            test=ArmScore.of(whole) if whole else None,
            seconds=sum(result.seconds for result in (*own, *tests) if result is not None),
            verdicts=self._verdicts(arm, whole),
        )

    def _outcome(self, trial: Trial) -> Outcome:
        status = self.ledger.status(trial)
        if status is TrialStatus.WAITING and self.running and self.ledger.has_begun(trial):
            status = TrialStatus.RUNNING
        self.states[status] += 1
        begun = status is not TrialStatus.WAITING or self.ledger.has_begun(trial)
        failure = self.ledger.failure(trial) if status is TrialStatus.FAILED else None
        return Outcome(
            seed=trial.seed,
            fold=self.plan.fold_of(trial),
            state=status,
            reason=failure.reason if failure else "",
            kind=failure.kind if failure else None,
            folder=self.ledger.run(trial).folder.name if begun else "",
        )

    def _verdicts(self, arm: Arm, tests: Sequence[Result]) -> Verdicts:
        if tests:
            return Score.of(tests, self.budget).verdicts
        if not arm.digest:  # it cannot be built, and has no counts
            return Verdicts(parameters="none", epochs="none", accuracy="none")
        return self.budget.verdicts(arm.counts)


def _against_first(ranked: Sequence[Ranked]) -> list[Difference | None]:
    """Each arm against the first; None for the first itself."""
    if not ranked:
        return []
    judged = [[arm_run(result) for result in it.results] for it in ranked]
    return [None, *compare_with_first(judged, images=_images(ranked))]


def _images(ranked: Sequence[Ranked]) -> int:
    """That each run was judged on; of folds, which differ by one, the most."""
    return accuracies_of(ranked[0].results).images


def _front(ranked: Sequence[Ranked]) -> set[str]:
    """Digests of the arms that no other beats on accuracy and cost together."""
    front: list[Ranked] = []
    for it in sorted(ranked, key=lambda it: (-it.mean_share, it.cost)):
        last = front[-1] if front else it
        equal = (it.mean_share, it.cost) == (last.mean_share, last.cost)
        if equal or it.cost < last.cost:
            front.append(it)
    return {it.arm.digest for it in front}


def _effects(plan: SweepPlan, ranked: Sequence[Ranked]) -> list[Effect]:
    """Of the grid's axes, by the cells whose trials are all done."""
    digests = {arm.digest for arm in plan.arms if arm.cell}
    own = [it for it in ranked if it.arm.digest in digests]
    counts = {it.arm.digest: [result.correct for result in it.results] for it in own}
    cells = {arm.cell: counts[arm.digest] for arm in plan.arms if arm.cell and arm.digest in counts}
    if not cells:
        return []
    axes = [Factor(axis.place, axis.texts) for axis in plan.axes]
    on = [it for result in own[0].results if (it := result.on) is not None]
    return main_effects(cells, axes, images=_images(own), on=on)
