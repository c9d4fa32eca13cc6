"""What a search is to Optuna: a study in the journal, its space, its samplers and its pruners."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Set
from typing import TYPE_CHECKING, Any, Final, assert_never, cast

from mnist_arch.data.folds import stated
from mnist_arch.spec.experiment import Budget
from mnist_arch.spec.strict_yaml import place
from mnist_arch.sweeps.extras import need_optuna
from mnist_arch.sweeps.planning import Arm, SweepPlan
from mnist_arch.sweeps.search.journal import Journal, damaged
from mnist_arch.sweeps.search.proposals import Point, search_of, texts_of, values_of
from mnist_arch.sweeps.spec import (
    Categorical,
    Dimension,
    Floats,
    Front,
    Integers,
    MostAccurate,
    Pruning,
    Search,
    Smallest,
)
from mnist_arch.values import FORMAT

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages.journal import BaseJournalBackend
    from optuna.study import StudyDirection

DRAWS: Final = 100
"""Times that a new point is drawn at random before all that are left are listed."""
POPULATION: Final = 20
"""Of NSGA-II, whose first generation is random: Optuna's 50 are more than many a search has."""


def open_study(plan: SweepPlan, journal: Journal, *, make: bool) -> Study | None:
    """The study of a sweep's search, made where it is not there yet and is to be.

    Its name is a digest of all that its results depend on besides the number of trials, so that an
    edited search has a study of its own in the journal. Raises ExtraMissing, RunCorrupt and
    StorageError.
    """
    need_optuna()
    import optuna
    from optuna.storages import JournalStorage

    try:
        storage = JournalStorage(cast("BaseJournalBackend", journal))
    except (AssertionError, LookupError, TypeError, ValueError):  # whatever its replay trips over
        raise damaged(journal.path) from None
    name = study_name(plan)
    if name in optuna.get_all_study_names(storage):
        return optuna.load_study(study_name=name, storage=storage)
    if not make:
        return None
    return optuna.create_study(study_name=name, storage=storage, directions=_directions(plan))


def _directions(plan: SweepPlan) -> list[StudyDirection]:
    from optuna.study import StudyDirection

    match search_of(plan).objective:
        case MostAccurate():
            return [StudyDirection.MAXIMIZE]
        case Front():
            return [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
        case Smallest():
            return [StudyDirection.MINIMIZE]
        case never:
            assert_never(never)


def study_name(plan: SweepPlan) -> str:
    """`search-` and a digest of the search, its base, its images and what is set for all arms."""
    search, definition = search_of(plan), plan.definition
    space = [[path, it.model_dump(mode="json")] for path, it in search.space.items()]
    content = {
        "format": FORMAT,  # what trials of another one reached says nothing about those of this
        **{key: it for key, it in search.stated().items() if key not in ("space", "trials")},
        "space": space,  # in its order, by which the samplers go
        "base": definition.base.plain(),
        "above": [[place(it.path), it.value.plain()] for it in definition.above],
        "dataset": plan.dataset,
        "holdout": stated(plan.holdout),
    }
    text = json.dumps(content, sort_keys=True)
    return f"search-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


# --------------------------------------------------------------------------------------- the space


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna has it."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    match dimension:
        case Categorical(choices=choices):
            return CategoricalDistribution(texts_of(choices))
        case Integers(low=low, high=high, step=step, log=log):
            high -= (high - low) % step
            return IntDistribution(low, high, step=step, log=log)
        case Floats(low=low, high=high, log=log):
            return FloatDistribution(low, high, log=log)
        case never:
            assert_never(never)


def excess(arm: Arm, budget: Budget) -> float:
    """How far a proposal is over the budget, in budgets; 1 for a network that cannot be built."""
    if not arm.digest:
        return 1.0
    over, limits = budget.excess(arm.counts)._asdict(), budget.limits()
    return float(sum(over[what.lower()] / limit for what, limit in limits.items()))


# --------------------------------------------------------------------------- samplers and pruners


def sampler(search: Search, number: int) -> BaseSampler:
    """The sampler for proposal `number`, with a seed of its own."""
    from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler

    seed = _seed(search, number)
    match search.sampler:
        case "random":
            return RandomSampler(seed=seed)
        case "tpe":
            return TPESampler(seed=seed)
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=POPULATION)
        case never:
            assert_never(never)


def new_point(search: Search, known: Set[Point], number: int) -> dict[str, Any]:
    """Values drawn at random for proposal `number`, which are none of the known points."""
    import optuna
    from optuna.samplers import RandomSampler

    seed = _seed(search, number)
    draws = optuna.create_study(sampler=RandomSampler(seed=seed))
    space = {path: distribution(it) for path, it in search.space.items()}
    for _ in range(DRAWS):
        params = draws.ask(space).params
        if tuple(params[path] for path in space) not in known:
            return params
    values = [values_of(it) for it in search.space.values()]  # most of the space is known
    left = [it for it in itertools.product(*filter(None, values)) if it not in known]
    return dict(zip(space, random.Random(seed).choice(left), strict=True))


def _seed(search: Search, number: int) -> int:
    """Of what is drawn for one proposal."""
    content = hashlib.sha256(f"{search.seed} {number}".encode()).digest()
    return int.from_bytes(content[:4], "big")


def pruner(pruning: Pruning, *, epochs: int) -> BasePruner:
    """What judges a trial of so many epochs, at the steps from `from_epoch` on.

    Raises ValueError for what Optuna has not, which is `in_better_half`.
    """
    from optuna.pruners import HyperbandPruner, MedianPruner

    match pruning.kind:
        case "median":
            return MedianPruner(n_warmup_steps=pruning.from_epoch)
        case "hyperband":
            return HyperbandPruner(min_resource=pruning.from_epoch, max_resource=epochs)
        case "halving":
            raise ValueError("halving is judged by the race")
        case never:
            assert_never(never)
