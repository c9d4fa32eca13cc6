"""The search of a sweep: Optuna proposes, the budget refuses at no cost, the ledger decides."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from mnist_arch.errors import BudgetExceeded
from mnist_arch.files import is_there
from mnist_arch.sweeps.ledger import Ledger, TrialStatus
from mnist_arch.sweeps.planning import Arm, SweepPlan, Trial
from mnist_arch.sweeps.search.journal import Journal
from mnist_arch.sweeps.search.optuna_study import (
    distribution,
    excess,
    new_point,
    open_study,
    pruner,
    sampler,
)
from mnist_arch.sweeps.search.proposals import Proposals, search_of
from mnist_arch.sweeps.search.race import (
    Runner,
    has_lost,
    in_better_half,
    is_rung,
    order,
    race_winner,
    raced,
    runner,
    winner,
)
from mnist_arch.sweeps.spec import MostAccurate
from mnist_arch.training.events import EpochRecord

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, TrialState

REPEATS: Final = 10
"""Proposals in a row that a sampler may repeat, before one that is new is drawn at random."""

_REJECTED: Final = "rejected"
"""Attribute of Optuna's trials: why it is not trained."""
_AGAIN: Final = "again"
"""Attribute of Optuna's trials: the number of the one that it takes up again."""
_CONSTRAINTS: Final = "constraints"
"""Where Optuna keeps a list of what a trial lacks, at most 0 each where it lacks nothing."""


def proposals_so_far(plan: SweepPlan, ledger: Ledger) -> Proposals | None:
    """What a sweep's search has proposed by its journal; None where there is no search.

    Nothing is written. Raises ExtraMissing, RunCorrupt and StorageError.
    """
    if plan.definition.sweep.search is None:
        return None
    proposals, path = Proposals(plan), _journal_path(ledger)
    if is_there(path) and (study := open_study(plan, Journal(path), make=False)) is not None:
        for proposal in _latest(plan, study):
            proposals.take(proposal.params)
    return proposals


def searched_arms(plan: SweepPlan, ledger: Ledger) -> list[Arm]:
    """The experiments within the budget that a search has proposed. See `proposals_so_far`."""
    proposals = proposals_so_far(plan, ledger)
    return [] if proposals is None else raced(plan, ledger, proposals.arms)


def search_source(plan: SweepPlan, ledger: Ledger) -> SearchSource:
    """The source of a sweep's search, by its objective. Raises what `SearchSource` does."""
    return (SearchSource if plan.smallest is None else RaceSource)(plan, ledger)


class SearchSource:
    """A Source of trials that are proposed by what came out so far; the ledger's lock is held.

    Trials that an earlier process left without an outcome come first. A proposal that breaks the
    budget, or repeats another, does not count as a trial; one that fails or is ended early does.
    """

    def __init__(self, plan: SweepPlan, ledger: Ledger) -> None:
        """Raises ExtraMissing, RunCorrupt and StorageError."""
        self._plan, self._ledger = plan, ledger
        self._search = search_of(plan)
        self._budget = plan.budget
        self._journal = Journal(_journal_path(ledger))
        study = open_study(plan, self._journal, make=True)
        assert study is not None
        self._study = study
        self._space = {path: distribution(it) for path, it in self._search.space.items()}
        self._waiting: deque[Trial] = deque()
        self._asked: dict[str, optuna.Trial] = {}  # by digest, what has no outcome yet
        self._rungs: dict[int, dict[str, tuple[int, float]]] = {}  # of halving, by epoch and digest
        self.proposals = Proposals(plan)
        self._go_on()

    @property
    def arms(self) -> list[Arm]:
        """Proposals within the budget so far, each experiment once."""
        return raced(self._plan, self._ledger, self.proposals.arms)

    def next(self) -> Trial | None:
        """The next trial to train; None while there is none, and at the end.

        Raises StorageError, and BudgetExceeded where the search ends without any.
        """
        while (trial := self._ready()) is None:
            if len(self.proposals.arms) >= self._search.trials:
                return None
            if not self.proposals.has_ended_early:
                self._propose()
            elif self.proposals.arms:
                return None
            else:
                last = self.proposals.rejections[-1]
                message = f"the search found nothing to train, {self.proposals.shortfall}"
                hint = "change `search.space`, the base or the budget"
                raise BudgetExceeded(f"{message}; the last proposal is {last}", hint=hint)
        return trial

    def _ready(self) -> Trial | None:
        """A trial of what has been proposed; None where something new is to be."""
        return self._waiting.popleft() if self._waiting else None

    def judge(self, trial: Trial, record: EpochRecord) -> bool:
        """Whether a trial is worth continuing; always so before the epoch of the file.

        Raises StorageError.
        """
        if self._search.pruning is None:
            return True
        assert record.correct is not None
        with self._journal.at_once():
            share = record.correct / record.images
            return self._is_worth_it(self._asked[trial.digest], trial.arm, record.epoch, share)

    def tell(self, trial: Trial, status: TrialStatus) -> None:
        """Passes on what became of a trial. Raises StorageError.

        A failure that the ledger does not keep, being one of the machine, leaves the trial without
        an outcome, for the next process.
        """
        if status is TrialStatus.FAILED and self._ledger.status(trial) is not TrialStatus.FAILED:
            return
        self._settle(self._asked.pop(trial.digest), trial, status)

    @property
    def name(self) -> str:
        """The name of the study, by which what it has ended early is marked."""
        return self._study.study_name

    # ------------------------------------------------------------------------------- proposals

    def _propose(self) -> None:
        """Asks for one more proposal, and writes down together what is known of it.

        The sampler is made again for each, with a seed of its own: the same history has the same
        continuation, in however many processes, and none begins with the same random numbers.
        """
        number = self.proposals.count + 1
        self._study.sampler = sampler(self._search, number)
        with self._journal.at_once():
            if self.proposals.repeats_in_a_row >= REPEATS:
                new = new_point(self._search, self.proposals.points, number)
                self._study.enqueue_trial(new)
            asked = self._study.ask(self._space)
            self._place(asked, self.proposals.take(asked.params))

    def _place(self, asked: optuna.Trial, arm: Arm | None) -> None:
        """A proposal comes again, or is rejected, or known, or waits."""
        if arm is None:
            self._study.tell(asked, state=_trial_state("FAIL"))  # of which samplers take no note
        elif arm.rejected:
            self._reject(asked, arm)
        else:
            self._enter(asked, arm)

    def _enter(self, asked: optuna.Trial, arm: Arm) -> None:
        """A new experiment within the budget is known already, or waits."""
        self._describe(asked, trial := _trial(arm))
        if (status := self._status(trial)) is TrialStatus.WAITING:
            self._replay(asked, trial)
            self._asked[arm.digest] = asked
            self._waiting.append(trial)
        else:
            self._settle(asked, trial, status)

    def _describe(self, asked: optuna.Trial, *trials: Trial) -> None:
        """Says what a proposal is called, and where its runs are, for whoever opens the study."""
        seeds, folders = [it.seed for it in trials], [self._ledger.run(it).folder for it in trials]
        asked.set_user_attr("arm", trials[0].arm.name)
        asked.set_user_attr("seed", seeds[0] if len(seeds) == 1 else ", ".join(map(str, seeds)))
        asked.set_user_attr("run", ", ".join(it.name for it in folders))

    def _lacks(self, asked: optuna.Trial, value: float) -> None:
        """Says how much a proposal lacks, in the older of Optuna's two forms.

        Its samplers read both. optuna-dashboard shows this one alone, not that of
        `Trial.set_constraint`.
        """
        asked.storage.set_trial_system_attr(asked._trial_id, _CONSTRAINTS, [value])

    def _status(self, trial: Trial) -> TrialStatus:
        """By the ledger; what another search has ended early is resumed."""
        pruned = self._ledger.pruned(trial)
        if pruned is not None and pruned.by != self.name:
            self._ledger.take_up(trial)
        return self._ledger.status(trial)

    def _reject(self, asked: optuna.Trial, arm: Arm) -> None:
        """Says by how much the budget is broken, by which TPE finds its way back into it.

        NSGA-II needs none of it: only trials with a result are parents.
        """
        asked.set_user_attr("arm", arm.name)
        asked.set_user_attr(_REJECTED, f"{arm.name}: {arm.rejected}")
        self._lacks(asked, excess(arm, self._budget))
        self._study.tell(asked, state=_trial_state("PRUNED"))

    def _settle(self, asked: optuna.Trial, trial: Trial, status: TrialStatus) -> None:
        """Tells Optuna what the ledger has of a trial."""
        self._replay(asked, trial)
        match status:
            case TrialStatus.DONE:
                result = self._ledger.result(trial)
                assert result is not None
                values = (result.correct / result.images, float(trial.arm.cost(self._search.cost)))
                self._study.tell(asked, values[: len(self._study.directions)])
            case TrialStatus.PRUNED:
                pruned = self._ledger.pruned(trial)
                assert pruned is not None
                self._report(asked, pruned.epoch, pruned.correct / pruned.images)
                self._study.tell(asked, state=_trial_state("PRUNED"))
            case TrialStatus.FAILED:
                self._study.tell(asked, state=_trial_state("FAIL"))
            case TrialStatus.WAITING | TrialStatus.RUNNING | TrialStatus.REJECTED:
                raise ValueError(f"{trial.arm.name} has no outcome")
            case never:
                assert_never(never)

    # ----------------------------------------------------------------------- ending trials early

    def _is_worth_it(self, asked: optuna.Trial, arm: Arm, epoch: int, share: float) -> bool:
        """Reports an epoch, and says whether the trial is worth continuing after it."""
        pruning = self._search.pruning
        assert pruning is not None
        self._report(asked, epoch, share)
        if pruning.kind == "halving":
            return self._passes(arm, epoch, share)
        if epoch >= arm.epochs:
            return True
        judging = pruner(pruning, epochs=arm.epochs)
        return not judging.prune(self._study, self._frozen(asked))

    def _passes(self, arm: Arm, epoch: int, share: float) -> bool:
        """Whether a trial continues after an epoch at which halving compares it with others."""
        assert self._search.pruning is not None
        if epoch >= arm.epochs or not is_rung(self._search.pruning, epoch):
            return True
        # Where accuracy is not all, those that cost more are no measure.
        alone = isinstance(self._search.objective, MostAccurate)
        own = (0 if alone else arm.cost(self._search.cost), share)
        rung = self._rungs.setdefault(epoch, {})
        others = [it for digest, it in rung.items() if digest != arm.digest]
        rung[arm.digest] = own
        return in_better_half(own, others)

    def _replay(self, asked: optuna.Trial, trial: Trial) -> None:
        """Reports the epochs that the trial has done and this study has not heard of.

        So a study that is rebuilt from the ledger ends the same trials early as the last one.
        The pruner is asked, too, which keeps what it needs for those that come later.
        """
        if self._search.pruning is None:
            return
        known = self._frozen(asked).intermediate_values
        for epoch, share in self._ledger.curve(trial):
            if epoch not in known:
                self._is_worth_it(asked, trial.arm, epoch, share)

    def _hear(self, trial: Trial) -> None:
        """Has halving know of the epochs that a trial did in an earlier process."""
        if self._search.pruning is not None and self._search.pruning.kind == "halving":
            for epoch, share in self._ledger.curve(trial):
                self._passes(trial.arm, epoch, share)

    def _report(self, asked: optuna.Trial, epoch: int, share: float) -> None:
        """Once for each epoch, and only where accuracy is all, as Optuna wants it."""
        alone = isinstance(self._search.objective, MostAccurate)
        if not alone or epoch in self._frozen(asked).intermediate_values:
            return
        asked.report(share, epoch)

    def _frozen(self, asked: optuna.Trial) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[asked.number]

    # ---------------------------------------------------------------------------------- resuming

    def _go_on(self) -> None:
        """Takes up the proposals of earlier processes."""
        import optuna
        from optuna.trial import TrialState

        for proposal in _latest(self._plan, self._study):
            arm = self.proposals.take(proposal.params)
            if arm is not None and not arm.rejected:
                self._hear(_trial(arm))
            with self._journal.at_once():
                if proposal.state is TrialState.RUNNING:
                    self._place(optuna.Trial(self._study, proposal._trial_id), arm)
                elif arm is None or arm.rejected:
                    continue
                elif self._is_to_be_taken_up(arm):
                    self._place(self._again(proposal), arm)

    def _is_to_be_taken_up(self, arm: Arm) -> bool:
        """Whether what Optuna holds for ended has no outcome in the ledger."""
        return self._status(_trial(arm)) is TrialStatus.WAITING

    def _again(self, proposal: FrozenTrial) -> optuna.Trial:
        """A copy of a proposal whose failure was forgiven, or whose folder is no longer there.

        Optuna's own trial has ended, and cannot be told anything more.
        """
        import optuna
        from optuna.trial import TrialState, create_trial

        first = proposal.user_attrs.get(_AGAIN, proposal.number)
        copy = create_trial(
            state=TrialState.RUNNING,
            params=proposal.params,
            distributions=proposal.distributions,
            user_attrs={_AGAIN: first},
        )
        self._study.add_trial(copy)
        return optuna.Trial(self._study, self._study.get_trials(deepcopy=False)[-1]._trial_id)


class RaceSource(SearchSource):
    """A Source of the seeds that decide which experiment is the smallest that is good enough."""

    def __init__(self, plan: SweepPlan, ledger: Ledger) -> None:
        """Raises what `SearchSource` does."""
        assert plan.smallest is not None
        self._objective = plan.smallest
        self._running: set[str] = set()  # digests of the experiments of which a seed is trained
        self._open: dict[str, Arm] = {}  # by digest, those that are not decided
        known = proposals_so_far(plan, ledger)
        self._best = race_winner(plan, ledger, () if known is None else known.arms)
        super().__init__(plan, ledger)

    def _ready(self) -> Trial | None:
        """The next seed of the smallest that is not decided, and of which none is trained now."""
        self._close()
        free = [self._runner(arm) for key, arm in self._open.items() if key not in self._running]
        if not free:
            return None
        smallest = min(free, key=lambda it: order(it, self._objective))
        self._running.add(smallest.arm.digest)
        return smallest.next

    def judge(self, trial: Trial, record: EpochRecord) -> bool:
        if record.epoch < trial.arm.epochs and has_lost(trial.arm, self._best, self._objective):
            return False
        # By later seeds it is the mean that decides.
        return trial.seed > 0 or super().judge(trial, record)

    def tell(self, trial: Trial, status: TrialStatus) -> None:
        self._running.discard(trial.arm.digest)
        if status is TrialStatus.FAILED and self._ledger.status(trial) is not TrialStatus.FAILED:
            self._open.pop(trial.arm.digest, None)  # for the next process
            return
        self._close()

    def _enter(self, asked: optuna.Trial, arm: Arm) -> None:
        self._describe(asked, _trial(arm))
        self._asked[arm.digest] = asked
        self._open[arm.digest] = arm
        self._hear(_trial(arm))
        for seed in range(self._objective.seeds):
            self._status(Trial(arm, seed, "ranking", arm.digest))
        self._close()

    def _close(self) -> None:
        """Tells Optuna of all that is decided."""
        found = {digest: self._runner(arm) for digest, arm in self._open.items()}
        self._best = winner(filter(None, (self._best, *found.values())), self._objective)
        for digest, it in found.items():
            lost = has_lost(it.arm, self._best, self._objective)
            if digest not in self._running and (lost or not it.is_open):
                del self._open[digest]
                self._settle_runner(self._asked.pop(digest), it)

    def _settle_runner(self, asked: optuna.Trial, it: Runner) -> None:
        """The cost, and how far it is from good enough, in percent points."""
        begun = it.seeds + (it.lost is not None)
        if begun > 1:
            self._describe(asked, *(replace(it.next, seed=seed) for seed in range(begun)))
        if it.lost is TrialStatus.FAILED:
            self._study.tell(asked, state=_trial_state("FAIL"))
            return
        if (missing := self._missing(it)) is not None:
            self._lacks(asked, missing)
        self._study.tell(asked, float(it.arm.cost(self._objective.cost)))

    def _missing(self, it: Runner) -> float | None:
        """None where it has lost before anything was known of its accuracy."""
        asked, score = self._objective.accuracy_percent, it.score
        if score is None:
            pruned = self._ledger.pruned(it.next)
            return None if pruned is None else asked - 100 * pruned.correct / pruned.images
        bound = score.bound_percent if score.runs == self._objective.seeds else None
        return asked - (score.mean_percent if bound is None else bound)

    def _runner(self, arm: Arm) -> Runner:
        return runner(self._plan, self._ledger, arm, self._objective)

    def _is_to_be_taken_up(self, arm: Arm) -> bool:
        return self._runner(arm).is_open and not has_lost(arm, self._best, self._objective)


def _journal_path(ledger: Ledger) -> Path:
    return ledger.folder / "study.jsonl"


def _latest(plan: SweepPlan, study: optuna.Study) -> list[FrozenTrial]:
    """The proposals in their order, each as it was last taken up.

    Without those of which only a part was written when the machine went down.
    """
    latest: dict[int, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False):
        latest[trial.user_attrs.get(_AGAIN, trial.number)] = trial
    whole = search_of(plan).space.keys()
    return [trial for trial in latest.values() if trial.params.keys() == whole]


def _trial(arm: Arm) -> Trial:
    return Trial(arm, 0, "ranking", arm.digest)


def _trial_state(name: str) -> TrialState:
    """Of Optuna, which is imported by now."""
    from optuna.trial import TrialState

    return TrialState[name]
