"""What a network reaches on a split, as one JSON object."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_arch.evaluation.metrics import ShiftedJudgement
    from mnist_arch.verbs.evaluate import Report


def as_object(report: Report) -> dict[str, Any]:
    """Exact and unrounded; shares are in [0, 1] unless their name says percent."""
    trained, evaluation = report.trained, report.evaluation
    names = report.class_names
    return {
        "format": 1,
        "name": trained.name,
        "seed": trained.seed,
        "run": None if trained.run is None else str(trained.run.folder),
        "weights": str(trained.weights),
        "trained_on": trained.dataset,
        "holdout": trained.experiment.model_dump(mode="json")["holdout"],
        "dataset": report.dataset,
        "split": report.split,
        "images": evaluation.images,
        "correct": evaluation.correct,
        "accuracy_percent": evaluation.accuracy_percent,
        "interval_percent": list(evaluation.interval_percent),
        "loss": evaluation.loss,
        "verdict": report.verdict,
        "calibration_error": evaluation.calibration_error,
        "calibration_bins": [dataclasses.asdict(place) for place in evaluation.bins],
        "classes": [
            {"label": label, "name": names[label], **dataclasses.asdict(score)}
            for label, score in enumerate(evaluation.classes)
        ],
        "confusion": [list(row) for row in evaluation.confusion],
        "mistakes": [dataclasses.asdict(mistake) for mistake in evaluation.mistakes],
        "images_per_second": evaluation.images_per_second,
        "device": report.device,
        "threads": report.threads,
        "shifted": None if report.shifted is None else _shifted(report.shifted),
        "written": [str(path) for path in report.written],
        "evidence": None if report.evidence is None else report.evidence.model_dump(mode="json"),
    }


def _shifted(score: ShiftedJudgement) -> dict[str, Any]:
    return {
        "images": score.images,
        "correct": score.correct,
        "accuracy_percent": score.accuracy_percent,
        "interval_percent": list(score.interval_percent),
        "loss": score.loss,
        "shifts": [list(shift) for shift in score.shifts],
    }
