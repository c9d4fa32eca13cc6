"""Who may still win: seeds and epochs are spent on what is not decided. Nothing imports Optuna.

The smallest that is good enough is looked for from the small end. The smallest experiment that is
not decided gets its next seed first. One that its seeds so far speak against gets no more, and once
one is good enough, whatever costs as much or more has lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mnist_arch.evaluation.judgement import SeedAccuracies, wilson_interval_percent
from mnist_arch.runs.result import Result
from mnist_arch.runs.score import accuracies_of
from mnist_arch.sweeps.ledger import Ledger, TrialStatus
from mnist_arch.sweeps.planning import Arm, SweepPlan, Trial
from mnist_arch.sweeps.spec import Pruning, Smallest

_SEEDS_FOR_A_SPREAD = 3
"""Two seeds are equal by chance too often for their spread to mean anything."""


def reaches(score: SeedAccuracies | None, objective: Smallest) -> bool | None:
    """Whether runs with these accuracies are good enough; None where more seeds decide it.

    They are good enough by the bound of all seeds alone, since one that is looked at after each
    seed would hold too often. They are not by fewer, where the upper end of Wilson's interval of
    the mean, or from three seeds on that of the mean over seeds, is below what is asked for.
    """
    if score is None:
        return None
    bound, asked = score.bound_percent, objective.accuracy_percent
    if score.runs >= objective.seeds:
        return bound is not None and bound >= asked
    upper = [wilson_interval_percent(round(score.mean_share * score.images), score.images)[1]]
    if bound is not None and score.runs >= _SEEDS_FOR_A_SPREAD:
        upper.append(2 * score.mean_percent - bound)
    return False if min(upper) < asked else None


@dataclass(frozen=True)
class Runner:
    """An experiment in the race, by what the ledger has."""

    arm: Arm
    score: SeedAccuracies | None
    """Of its seeds from 0 on, as far as they are done; None where none is."""
    lost: TrialStatus | None
    """Why its next seed has no result, where it was ended early or failed."""
    next: Trial
    """Its next seed."""
    reached: bool | None
    """Whether it is good enough; None where that is not decided."""

    @property
    def seeds(self) -> int:
        """How many are done."""
        return 0 if self.score is None else self.score.runs

    @property
    def is_open(self) -> bool:
        """Whether it waits for another seed."""
        return self.reached is None and self.lost is None


def runner(plan: SweepPlan, ledger: Ledger, arm: Arm, objective: Smallest) -> Runner:
    """Where an experiment stands. Raises what `Ledger.result` does."""
    seeds = objective.seeds if arm.proposal is not None else plan.definition.sweep.seeds
    results: list[Result] = []
    lost = None
    for seed in range(seeds):
        trial = Trial(arm, seed, "ranking", arm.digest)
        status, result = ledger.status(trial), ledger.result(trial)
        if status is not TrialStatus.DONE or result is None:
            lost = None if status is TrialStatus.WAITING else status
            break
        results.append(result)
    following = Trial(arm, len(results), "ranking", arm.digest)
    score = accuracies_of(results) if results else None
    reached = reaches(score, objective)
    if arm.proposal is None:  # of list and grid, which has its own number of seeds
        bound = None if score is None else score.bound_percent
        whole = len(results) == seeds and bound is not None
        reached = bound >= objective.accuracy_percent if whole and bound is not None else False
    return Runner(arm, score, lost, following, reached)


def winner(runners: Iterable[Runner], objective: Smallest) -> Runner | None:
    """The least costly that is good enough, of equals the more accurate; None where none is."""
    good = [it for it in runners if it.reached]
    return min(good, key=lambda it: order(it, objective), default=None)


def order(it: Runner, objective: Smallest) -> tuple[int, float, str]:
    """The least costly first, of equals the more accurate."""
    mean = 0.0 if it.score is None else float(it.score.mean_share)
    return it.arm.cost(objective.cost), -mean, it.arm.name


def has_lost(arm: Arm, best: Runner | None, objective: Smallest) -> bool:
    """Whether it costs no less than another one that is good enough."""
    if best is None or arm.digest == best.arm.digest:
        return False
    return arm.cost(objective.cost) >= best.arm.cost(objective.cost)


def race_winner(plan: SweepPlan, ledger: Ledger, searched: Iterable[Arm]) -> Runner | None:
    """The smallest that is good enough so far, of list, grid and search; None without any, and
    where it is not looked for.
    """
    if (objective := plan.smallest) is None:
        return None
    own = (arm for arm in plan.arms if not (arm.rejected or arm.same_as))
    arms = [*own, *searched]
    return winner((runner(plan, ledger, arm, objective) for arm in arms), objective)


def raced(plan: SweepPlan, ledger: Ledger, arms: Iterable[Arm]) -> list[Arm]:
    """The arms of a search, each experiment once; see `SweepPlan.distinct`.

    In a race with the seeds that they have got, or why they get none.
    """
    found = plan.distinct(arms)
    if plan.smallest is None:
        return found
    best = race_winner(plan, ledger, found)
    return [arm if arm.same_as else _raced(plan, ledger, arm, best) for arm in found]


def _raced(plan: SweepPlan, ledger: Ledger, arm: Arm, best: Runner | None) -> Arm:
    objective = plan.smallest
    assert objective is not None
    it = runner(plan, ledger, arm, objective)
    lost = has_lost(arm, best, objective)
    seeds = it.seeds + (it.lost is not None or (it.is_open and not lost))
    if seeds or best is None:
        return replace(arm, seeds=seeds)
    of, cost = objective.cost, arm.cost(objective.cost)
    enough = f"{best.arm.name} is good enough with {best.arm.cost(of):,}"
    return replace(arm, rejected=f"not trained: {cost:,} {of}, and {enough}")


# ---------------------------------------------------------------------------------------- halving


def is_rung(pruning: Pruning, epoch: int) -> bool:
    """Whether trials are compared after this epoch: `from_epoch`, twice that, and so on."""
    times, rest = divmod(epoch, pruning.from_epoch)
    return rest == 0 and times & (times - 1) == 0 and times > 0


def in_better_half(own: tuple[int, float], others: Iterable[tuple[int, float]]) -> bool:
    """Whether a trial is in the better half of those that came so far, and cost no more.

    Each is (cost, share of correct images). Of an odd number the one in the middle continues,
    and so does whoever comes first.
    """
    cost, share = own
    shares = [theirs for their_cost, theirs in others if their_cost <= cost]
    better = sum(theirs > share for theirs in shares)
    return better < (len(shares) + 2) // 2
