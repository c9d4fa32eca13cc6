"""The networks that ship, counted, with what each has reached. Nothing here imports torch."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cached_property

from mnist_arch.counting.budget import counts_of
from mnist_arch.counting.counted import CountedExperiment, count
from mnist_arch.errors import SpecError
from mnist_arch.files import is_there, read
from mnist_arch.runs.evidence import Evidence, evidence_beside
from mnist_arch.spec.experiment import Verdicts
from mnist_arch.spec.loading import load
from mnist_arch.spec.sources import unknown_name
from mnist_arch.zoo.index import ZOO, Shipped, name_in_zoo, zoo


@dataclass(frozen=True)
class Entry:
    """A network that ships."""

    shipped: Shipped
    counted: CountedExperiment
    evidence: Evidence | None
    """Of the weights that ship with it; None where none do."""

    @classmethod
    def of(cls, shipped: Shipped) -> Entry:
        """Raises RunCorrupt for evidence that is damaged, and StorageError."""
        weights = shipped.weights_path
        evidence = evidence_beside(weights) if is_there(weights) else None
        return cls(shipped, count(load(f"zoo/{shipped.name}")), evidence)

    @property
    def name(self) -> str:
        return self.shipped.name

    @property
    def yaml(self) -> str:
        """Its spec, as it was written."""
        return read(self.shipped.spec_path).decode()

    @cached_property
    def verdicts(self) -> Verdicts:
        """The verdicts of its rules by the mean over its seeds, as whole numbers of images."""
        experiment, evidence = self.counted.experiment, self.evidence
        counts = counts_of(experiment, self.counted.plan)
        if evidence is None:
            return experiment.budget.verdicts(counts)
        accuracy = experiment.budget.accuracy_verdict(
            correct=sum(it.correct for it in evidence.seeds),
            images=evidence.images * len(evidence.seeds),
            dataset=evidence.dataset,
            split=evidence.split,
        )
        return experiment.budget.verdicts(counts, accuracy=accuracy)

    @property
    def seconds(self) -> float | None:
        """Of the training of one seed, the median, with that of a teacher as far as it is known."""
        if self.evidence is None:
            return None
        own = statistics.median(it.seconds for it in self.evidence.seeds)
        return own + self.evidence.teacher_seconds


def entries() -> list[Entry]:
    """Every network that ships, in the order of the names. Raises RunCorrupt and StorageError."""
    return [Entry.of(shipped) for shipped in zoo().values()]


def entry_named(what: str) -> Entry:
    """The network that `NAME` or `zoo/NAME` is.

    Raises SpecError for a name that does not ship, with the nearest one; RunCorrupt, StorageError.
    """
    shipped = zoo().get(name_in_zoo(what) or what)
    if shipped is None:
        raise SpecError((unknown_name(what, ZOO),))
    return Entry.of(shipped)
