"""What an audit finds, as JSON, and as a line for each file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..grade_book import grade_book

if TYPE_CHECKING:
    from mnist_arch.claims.audit import Audit
    from mnist_arch.verbs.defend import Defence


def audit_object(it: Audit, defence: Defence | None) -> dict[str, Any]:
    return {
        "file": it.name,
        "verdict": it.verdict,
        "parameters": it.parameters,
        "printed_parameters": it.printed_parameters,
        "macs": it.macs,
        "bytes": it.bytes,
        "epochs": it.epochs,
        "best_percent": it.best_percent,
        "final_percent": it.final_percent,
        "seeds": it.seeds,
        "trainings": it.trainings,
        "reason": it.reason,
        "findings": [
            {"habit": one.habit, "where": one.line, "reason": one.reason} for one in it.findings
        ],
        **({} if defence is None else {"defended": _defence_object(defence)}),
    }


def _defence_object(it: Defence) -> dict[str, Any]:
    score = it.score
    return {
        "outcome": it.outcome,
        "mean_percent": None if score is None else score.mean_percent,
        "spread_percent": None if score is None else score.spread_percent,
        "bound_percent": None if score is None else score.bound_percent,
        "seeds": [] if score is None else score.seeds,
        "left_out": [{"text": note.text, "where": note.place} for note in it.left_out],
        "assumed": [{"text": note.text, "where": note.place} for note in it.assumed],
        "reason": it.reason,
    }


def csv_text(found: Sequence[tuple[Audit, Defence | None]]) -> str:
    return grade_book([_flat(audit_object(*it)) for it in found])


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """The same in one line of cells."""
    defended = row.pop("defended", None)
    row["findings"] = "; ".join(f"{it['where']}: {it['reason']}" for it in row["findings"])
    if defended is not None:
        for key in ("left_out", "assumed"):
            defended[key] = "; ".join(it["text"] for it in defended[key])
        defended["seeds"] = len(defended["seeds"])
        row |= {f"defended_{key}": value for key, value in defended.items()}
    return row
