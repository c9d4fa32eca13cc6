"""The claim of a notebook, defended: what it has is trained again with several seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mnist_arch.convert.importing import Imported, Note, import_network
from mnist_arch.counting.counted import count
from mnist_arch.errors import BudgetExceeded, NonFiniteLoss, SpecError
from mnist_arch.files import is_folder
from mnist_arch.runs.score import Score
from mnist_arch.spec.experiment import Budget
from mnist_arch.spec.loading import loads
from mnist_arch.verbs.display import Caller, TrainDisplay
from mnist_arch.verbs.train import TrainRequest, train

Outcome = Literal["holds", "holds in the mean", "missed", "not trained"]


@dataclass(frozen=True)
class Training:
    """How the claims are defended."""

    seeds: tuple[int, ...]
    parent: Path
    """Folder of the runs' folders."""
    data_dir: Path | None = None
    device: str = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class Defence:
    """What several seeds say of one claim."""

    budget: Budget
    score: Score | None = None
    """Of the final epochs; None where nothing was trained."""
    left_out: tuple[Note, ...] = ()
    """Parts of the recipe that were not carried over, such as what reads test."""
    assumed: tuple[Note, ...] = ()
    """What the notebook does not say."""
    reason: str = ""
    """Why nothing was trained."""

    @property
    def outcome(self) -> Outcome:
        """Whether the bound over seeds, or at least their mean, keeps the accuracy rule."""
        if self.score is None:
            return "not trained"
        if self.score.verdicts.accuracy != "kept":
            return "missed"
        bound = self.score.bound_percent
        is_sure = bound is not None and bound >= self.budget.accuracy_percent
        return "holds" if is_sure else "holds in the mean"


def defend(
    path: str, budget: Budget, training: Training, *, display: TrainDisplay, caller: Caller
) -> Defence:
    """Imports a notebook or a script, and trains it under `budget`, on the dataset of that.

    No code of it is run. A network that cannot be carried over, breaks the budget or diverges is a
    defence that says so.
    Raises DataUnavailable, DeviceUnavailable, RunError and StorageError.
    """
    imported: Imported | None = None
    if Path(path).is_symlink() or is_folder(Path(path)):
        return Defence(budget, reason="links are not followed, and folders are not read")
    try:
        imported = import_network(path)
        loaded = loads(imported.text, source=f"the spec of {path}")
        changes = {"budget": budget, "dataset": budget.dataset}
        experiment = loaded.experiment.model_copy(update=changes)
        loaded = replace(loaded, experiment=experiment)
        request = TrainRequest(
            loaded,
            training.seeds,
            training.device,
            training.parent,
            threads=training.threads,
            data_dir=training.data_dir,
        )
        trained = train(request, count(loaded), display=display, caller=caller)
    except (SpecError, BudgetExceeded, NonFiniteLoss) as error:
        score, reason = None, error.sentence
    else:
        score, reason = Score.of([it.result for it in trained], budget), ""
    if imported is None:
        return Defence(budget, score, reason=reason)
    return Defence(budget, score, imported.dropped, imported.assumed, reason)
