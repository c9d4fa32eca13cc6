"""The search of a sweep: Optuna proposes, the budget refuses at no cost, the ledger decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, assert_never

from mnist_arch.errors import BudgetExceeded
from mnist_arch.files import is_there
from mnist_arch.spec.loading import validated
from mnist_arch.sweeps.execution.executor import Epoch
from mnist_arch.sweeps.ledger import Ledger, State
from mnist_arch.sweeps.planning import Arm, Planned, Trial
from mnist_arch.sweeps.search.journal import Journal
from mnist_arch.sweeps.search.optuna_study import (
    changes,
    distribution,
    excess,
    open_study,
    pruner,
    sampler,
    search_of,
)

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

REJECTED_IN_A_ROW: Final = 1000
"""Proposals without one within the budget, after which a search gives up."""

_REJECTED: Final = "rejected"
"""Attribute of Optuna's trials: why it is not trained."""
_AGAIN: Final = "again"
"""Attribute of Optuna's trials: the number of the one that it takes up again."""


@dataclass(frozen=True)
class Proposals:
    """What a search has proposed so far."""

    arms: list[Arm]
    """Those that are within the budget, each experiment once."""
    rejected: int
    """The number of the others."""


def searched_arms(planned: Planned, ledger: Ledger) -> Proposals:
    """What a sweep's search has proposed by its journal; none where there is no search or journal.

    Nothing is written. Raises ExtraMissing, RunCorrupt and StorageError.
    """
    path = _journal_path(ledger)
    if planned.definition.sweep.search is None or not is_there(path):
        return Proposals([], 0)
    study = open_study(planned, Journal(path), make=False)
    latest = _latest(planned, study) if study is not None else []
    arms = [
        _arm(planned, number, proposal.params)
        for number, proposal in enumerate(latest, start=1)
        if _REJECTED not in proposal.user_attrs
    ]
    return Proposals(_distinct(planned, arms), len(latest) - len(arms))


class Search:
    """A Source of trials that are proposed by what came out so far; the ledger's lock is held.

    Trials that an earlier process left without an outcome come first. A proposal that breaks the
    budget does not count as a trial; one that fails, is ended early or repeats another does.
    """

    def __init__(self, planned: Planned, ledger: Ledger) -> None:
        """Raises ExtraMissing, RunCorrupt and StorageError."""
        self._planned, self._ledger = planned, ledger
        self._search = search_of(planned)
        self._budget = validated(planned.definition.base, planned.definition.source).budget
        self._journal = Journal(_journal_path(ledger))
        study = open_study(planned, self._journal, make=True)
        assert study is not None
        self._study = study
        self._space = {path: distribution(it) for path, it in self._search.space.items()}
        self._waiting: deque[Trial] = deque()
        self._asked: dict[str, list[optuna.Trial]] = {}  # by digest, what has no outcome yet
        self._arms: list[Arm] = []
        self._rejected: list[str] = []
        self._rejected_in_a_row = 0
        self._go_on()

    @property
    def arms(self) -> list[Arm]:
        """Proposals within the budget so far, each experiment once."""
        return _distinct(self._planned, self._arms)

    @property
    def rejected(self) -> int:
        """The number of proposals that broke the budget or could not be built."""
        return len(self._rejected)

    def next(self) -> Trial | None:
        """The next trial to train; None while there is none.

        Raises StorageError, and BudgetExceeded after REJECTED_IN_A_ROW.
        """
        while not self._waiting and len(self._arms) < self._search.trials:
            if self._rejected_in_a_row < REJECTED_IN_A_ROW:
                self._propose()
            elif self._asked:
                return None
            else:
                message = (
                    f"the search gives up: {REJECTED_IN_A_ROW:,} proposals in a row broke the "
                    f"budget or could not be built; the last is {self._rejected[-1]}"
                )
                raise BudgetExceeded(message, hint="narrow `search.space`, or change the base")
        return self._waiting.popleft() if self._waiting else None

    def judge(self, event: Epoch) -> bool:
        """Whether a trial is worth going on with; always so before the epoch of the file.

        Raises StorageError.
        """
        trial, record, pruning = event.task.trial, event.record, self._search.pruning
        if pruning is None:
            return True
        assert record.correct is not None
        asked = self._asked[trial.digest][0]
        with self._journal.at_once():
            self._report(asked, record.epoch, record.correct / record.images)
            if record.epoch >= trial.arm.epochs:
                return True
            judging = pruner(pruning, epochs=trial.arm.epochs)
            return not judging.prune(self._study, self._frozen(asked))

    def tell(self, trial: Trial, state: State) -> None:
        """Passes on what became of a trial. Raises StorageError.

        A failure that the ledger does not keep, being one of the machine, leaves the trial without
        an outcome, for the next process.
        """
        if state is State.FAILED and self._ledger.state(trial) is not State.FAILED:
            return
        for asked in self._asked.pop(trial.digest):
            self._settle(asked, trial, state)

    # ------------------------------------------------------------------------------- proposals

    def _propose(self) -> None:
        """Asks for one more proposal, and writes down together what is known of it.

        The sampler is made anew for each, with a seed of its own: the same history has the same
        continuation, in however many processes, and none begins with the same random numbers.
        """
        number = len(self._arms) + len(self._rejected) + 1
        self._study.sampler = sampler(self._search, number)
        with self._journal.at_once():
            asked = self._study.ask(self._space)
            self._place(asked, _arm(self._planned, number, asked.params))

    def _place(self, asked: optuna.Trial, arm: Arm) -> None:
        """A proposal is rejected, or trained by another already, or known, or waits."""
        if arm.rejected:
            self._reject(asked, arm)
            return
        self._count(arm)
        trial = _trial(arm)
        state = self._ledger.state(trial)
        if arm.digest in self._asked:
            self._asked[arm.digest].append(asked)
        elif state is State.WAITING:
            self._asked[arm.digest] = [asked]
            self._waiting.append(trial)
        else:
            self._settle(asked, trial, state)

    def _count(self, arm: Arm) -> None:
        self._arms.append(arm)
        self._rejected_in_a_row = 0

    def _count_rejected(self, reason: str) -> None:
        self._rejected.append(reason)
        self._rejected_in_a_row += 1

    def _reject(self, asked: optuna.Trial, arm: Arm) -> None:
        """Says by how much the budget is broken, by which TPE finds its way back into it.

        NSGA-II needs none of it: only trials with a result are parents.
        """
        from optuna.trial import TrialState

        reason = f"{arm.name}: {arm.rejected}"
        self._count_rejected(reason)
        asked.set_user_attr(_REJECTED, reason)
        asked.set_constraint("budget", excess(arm, self._budget))
        self._study.tell(asked, state=TrialState.PRUNED)

    def _settle(self, asked: optuna.Trial, trial: Trial, state: State) -> None:
        """Tells Optuna what the ledger has of a trial."""
        from optuna.trial import TrialState

        match state:
            case State.DONE:
                result = self._ledger.result(trial)
                assert result is not None
                values = (result.correct / result.images, float(trial.arm.parameters))
                self._study.tell(asked, values[: len(self._study.directions)])
            case State.PRUNED:
                pruned = self._ledger.pruned(trial)
                assert pruned is not None
                self._report(asked, pruned.epoch, pruned.correct / pruned.images)
                self._study.tell(asked, state=TrialState.PRUNED)
            case State.FAILED:
                self._study.tell(asked, state=TrialState.FAIL)
            case State.WAITING | State.RUNNING | State.REJECTED:
                raise ValueError(f"{trial.arm.name} has no outcome")
            case never:
                assert_never(never)

    def _report(self, asked: optuna.Trial, epoch: int, share: float) -> None:
        """Once for each epoch, and only where there is one objective, as Optuna wants it."""
        if len(self._study.directions) > 1 or epoch in self._frozen(asked).intermediate_values:
            return
        asked.report(share, epoch)

    def _frozen(self, asked: optuna.Trial) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[asked.number]

    # ----------------------------------------------------------------------------------- going on

    def _go_on(self) -> None:
        """Takes up the proposals of earlier processes."""
        import optuna
        from optuna.trial import TrialState

        for number, proposal in enumerate(_latest(self._planned, self._study), start=1):
            if _REJECTED in proposal.user_attrs:
                self._count_rejected(proposal.user_attrs[_REJECTED])
                continue
            arm = _arm(self._planned, number, proposal.params)
            with self._journal.at_once():
                if proposal.state is TrialState.RUNNING:
                    self._place(optuna.Trial(self._study, proposal._trial_id), arm)
                elif self._ledger.state(_trial(arm)) is State.WAITING:
                    self._place(self._again(proposal), arm)
                else:
                    self._count(arm)

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


def _journal_path(ledger: Ledger) -> Path:
    return ledger.folder / "study.jsonl"


def _latest(planned: Planned, study: optuna.Study) -> list[FrozenTrial]:
    """The proposals in their order, each as it was last taken up.

    Without those of which only a part was written when the machine went down.
    """
    latest: dict[int, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False):
        latest[trial.user_attrs.get(_AGAIN, trial.number)] = trial
    whole = search_of(planned).space.keys()
    return [trial for trial in latest.values() if trial.params.keys() == whole]


def _arm(planned: Planned, number: int, params: dict[str, Any]) -> Arm:
    name = f"search-{number:03d}"
    return planned.arm_of(name, changes(search_of(planned), params), searched=True)


def _trial(arm: Arm) -> Trial:
    return Trial(arm, 0, "ranking", arm.digest)


def _distinct(planned: Planned, arms: Iterable[Arm]) -> list[Arm]:
    """Each experiment once; one of the list or grid says which."""
    known = {arm.digest: arm.name for arm in planned.arms if not (arm.rejected or arm.same_as)}
    first: dict[str, Arm] = {}
    for arm in arms:
        first.setdefault(arm.digest, replace(arm, same_as=known.get(arm.digest, "")))
    return list(first.values())
