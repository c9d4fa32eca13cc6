"""The networks that ship as JSON: exact, nothing rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_arch.runs.entries import Entry


def listing_object(entries: Sequence[Entry]) -> dict[str, Any]:
    """Every network with what it has reached."""
    return {"format": 1, "networks": [_entry(it) for it in entries]}


def shown_object(entry: Entry) -> dict[str, Any]:
    """One network with its spec as it was written, and all of its evidence."""
    evidence = entry.evidence
    return {
        "format": 1,
        **_entry(entry),
        "yaml": entry.yaml,
        "evidence": None if evidence is None else evidence.model_dump(mode="json"),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    counted, evidence = entry.counted, entry.evidence
    accuracies = None if evidence is None else evidence.accuracies
    return {
        "name": entry.name,
        "parameters": counted.parameters,
        "macs": counted.macs,
        "epochs": counted.experiment.recipe.epochs,
        "budget": counted.experiment.budget.model_dump(mode="json"),
        "verdicts": entry.verdicts.model_dump(mode="json"),
        "dataset": evidence and evidence.dataset,
        "split": evidence and evidence.split,
        "images": evidence and evidence.images,
        "seeds": evidence and [it.seed for it in evidence.seeds],
        "correct": evidence and [it.correct for it in evidence.seeds],
        "mean_percent": accuracies and accuracies.mean_percent,
        "spread_percent": accuracies and accuracies.spread_percent,
        "bound_percent": accuracies and accuracies.bound_percent,
        "crossed_bound_percent": evidence and evidence.crossed_bound_percent,
        "seconds": entry.seconds,
        "teacher": evidence and evidence.teacher and evidence.teacher.model_dump(mode="json"),
        "machine": evidence and evidence.machine,
    }
