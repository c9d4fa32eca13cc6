"""Accuracy against parameters: the networks that ship, compared with published results.

`python benchmarks/figures.py` writes the tables and the picture of docs/records.md from this. What
ships is its evidence: the mean of the final epoch over seeds, with their standard deviation. A
published point is one run, or the mean where its source says so. Where a source gives only the best
epoch, the point is hollow.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_arch.drawing import (
    BLUE,
    DASHES,
    INK,
    ORANGE,
    SOFT,
    drawing,
    file_bytes,
    frame_and_grid,
    new_figure,
)
from mnist_arch.runs.evidence import Evidence
from mnist_arch.values import read_record
from mnist_arch.zoo.index import zoo


@dataclass(frozen=True)
class Goal:
    """What an entry of the zoo is to reach."""

    rule: str
    percent: float
    """The mean of the test accuracy."""
    most_parameters: int | None = None
    """Where they are what is asked for, and not a rule that a spec holds."""


GOALS = {
    "best": Goal("< 20,000 parameters, < 20 epochs", 99.70),
    "under-8k": Goal("< 8,000 parameters, 15 epochs", 99.58),
    "tiny": Goal("≤ 2,500 parameters, < 20 epochs", 99.40),
    "golf": Goal("≤ 600 parameters, < 200 epochs", 99.00, 600),
    "int8": Goal("whole numbers in ≤ 4,096 bytes; here in floats", 99.40),
    "fast": Goal("< 20,000 parameters, least time", 99.40),
    "s6": Goal("the reference network as it is, 19 epochs", 99.60),
}


@dataclass(frozen=True)
class Public:
    """A published result."""

    parameters: int
    epochs: int
    percent: float
    is_final: bool
    """Of the last epoch; else of the best one."""
    evidence: str
    source: str

    @classmethod
    def of(cls, row: dict[str, str]) -> Public:
        final = row["final_percent"]
        return cls(
            int(row["parameters"]),
            int(row["epochs"]),
            float(final or row["best_percent"]),
            bool(final),
            row["evidence"],
            row["source"],
        )


def published(path: Path) -> list[Public]:
    with path.open(encoding="utf-8", newline="") as file:
        return [Public.of(row) for row in csv.DictReader(file)]


def shipped() -> dict[str, Evidence]:
    """The evidence of every network that has some, by its name, fewest parameters first."""
    found = {
        name: read_record(it.evidence_path, Evidence)
        for name, it in zoo().items()
        if it.evidence_path.exists()
    }
    return dict(sorted(found.items(), key=lambda it: it[1].parameters))


def our_row(name: str, evidence: Evidence) -> list[str]:
    """Its row: name, size, epochs, mean and spread, both bounds, seeds, time, teacher."""
    score, crossed = evidence.accuracies, evidence.crossed_bound_percent
    minutes = [(seed.seconds + evidence.teacher_seconds) / 60 for seed in evidence.seeds]
    counts = " ".join(f"{seed.correct:,}" for seed in evidence.seeds)
    return [
        f"`{name}`",
        f"{evidence.parameters:,}",
        str(evidence.epochs),
        f"{score.mean_percent:.3f} ± {score.spread_percent:.3f} %",
        f"{score.bound_percent:.3f} %",
        f"{crossed:.3f} %",
        counts,
        f"{min(minutes):.1f} to {max(minutes):.1f} min",
        "–" if evidence.teacher is None else f"`{evidence.teacher.name}`",
    ]


def draw(ours: dict[str, Evidence], public: Sequence[Public]) -> bytes:
    """Accuracy over parameters on a logarithmic axis, as SVG."""
    with drawing():
        figure = new_figure(
            9.5, 5.4, "Accuracy against parameters", "MNIST test, no test-time augmentation"
        )
        axes = figure.subplots()
        for is_final, fill, label in (
            (True, SOFT, "published, final epoch"),
            (False, "none", "published, best epoch only"),
        ):
            points = [it for it in public if it.is_final == is_final]
            axes.scatter(
                [it.parameters for it in points],
                [it.percent for it in points],
                facecolors=fill,
                edgecolors=SOFT,
                s=26,
                label=label,
            )
        scores = [it.accuracies for it in ours.values()]
        axes.errorbar(
            [it.parameters for it in ours.values()],
            [it.mean_percent for it in scores],
            yerr=[it.spread_percent or 0.0 for it in scores],
            fmt="o",
            color=BLUE,
            capsize=3,
            markersize=6,
            label="this zoo: mean and standard deviation of the seeds",
        )
        for (name, evidence), score in zip(ours.items(), scores, strict=True):
            place = (evidence.parameters, score.mean_percent)
            axes.annotate(name, place, (7, 5), textcoords="offset points", fontsize=9, color=INK)
        axes.axvline(20_000, color=ORANGE, linestyle=DASHES, linewidth=1)
        axes.axhline(99.4, color=ORANGE, linestyle=DASHES, linewidth=1, label="the exercise")
        axes.set_xscale("log")
        axes.set_xticks([500, 1_000, 2_000, 5_000, 10_000, 20_000, 100_000, 1_000_000])
        axes.set_xticklabels(["500", "1k", "2k", "5k", "10k", "20k", "100k", "1M"])
        axes.minorticks_off()
        axes.set_xlabel("parameters", fontsize=9.5, color=INK)
        axes.set_ylabel("test accuracy, percent", fontsize=9.5, color=INK)
        axes.legend(frameon=False, fontsize=9, loc="lower right")
        frame_and_grid(axes)
        return file_bytes(figure, "svg")
