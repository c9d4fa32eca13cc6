"""What a report is about: networks, runs and sweeps, read from disk. Nothing here imports torch."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from mnist_arch.counting.budget import counts_of
from mnist_arch.counting.counted import CountedExperiment, count
from mnist_arch.drawing import Format
from mnist_arch.errors import MnistArchError, RunError
from mnist_arch.files import is_there
from mnist_arch.report.diagram import costs, diagram, receptive_field
from mnist_arch.report.svg import Across, Series, chart, parallel
from mnist_arch.runs.comparing import Compared, compare
from mnist_arch.runs.folder import SWEEP, Run
from mnist_arch.runs.listing import Line, chosen, lines_of
from mnist_arch.runs.manifest import Manifest
from mnist_arch.runs.resolve import find_spec
from mnist_arch.runs.score import Score
from mnist_arch.sweeps.standings import Leaderboard, Standing
from mnist_arch.values import read_record
from mnist_arch.zoo.index import name_in_zoo, zoo_names

if TYPE_CHECKING:
    from mnist_arch.report.illustrations import Illustrations

Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class NetworkPart:
    """A network, counted."""

    title: str
    counted: CountedExperiment
    facts: Facts
    pictures: list[tuple[str, Markup]]


@dataclass(frozen=True)
class RunPart:
    """An experiment with its seeds."""

    title: str
    score: Score
    curves: list[tuple[str, Markup]]
    repeat: list[Facts]
    network: NetworkPart
    illustrations: Illustrations | None = None
    why_none: str = ""


@dataclass(frozen=True)
class SweepPart:
    """A leaderboard, and how it was made."""

    title: str
    board: Leaderboard
    pictures: list[tuple[str, Markup]]
    failed: list[tuple[str, str]]
    repeat: list[Facts] = field(default_factory=list)


@dataclass(frozen=True)
class Content:
    """All that a page shows."""

    title: str
    networks: list[NetworkPart]
    runs: list[RunPart]
    sweeps: list[SweepPart]
    compared: list[Compared]


def content_of(words: Sequence[str], *, runs: Path, data_dir: Path | None = None) -> Content:
    """What each word names: a sweep's folder, a run, or a network; the latest run unless given.

    Raises RunError and SpecError for what is not there, and StorageError.
    """
    networks, found, sweeps, of_runs = [], [], [], []
    if not words:
        finished = [line for line in lines_of(runs) if line.finished]
        if not finished:
            raise RunError(f"no run in {runs} is finished", hint="name a network: zoo/s6")
        words = [str(finished[0].runs[0].folder.relative_to(runs))]
    for word in words:
        if is_there(runs / word / SWEEP) or is_there(Path(word) / SWEEP):
            folder = runs / word if is_there(runs / word / SWEEP) else Path(word)
            sweeps.append(_sweep(folder))
        elif (line := _finished_line(word, runs)) is not None:
            found.append(_run(line, data_dir))
            of_runs.append(word)
        else:
            networks.append(network_part(count(find_spec(word, runs=runs))))
    compared = compare(of_runs, runs=runs) if len(of_runs) > 1 else []
    return Content(", ".join(words), networks, found, sweeps, compared)


def picture_of(words: Sequence[str], kind: Format, *, runs: Path) -> bytes:
    """The curves of one run, or the leaderboard of one sweep, as a file of that kind.

    Raises RunError for what is neither, and PictureError.
    """
    if len(words) != 1:
        raise RunError("a picture is of one run or one sweep", hint="name one; a page has several")
    word = words[0]
    for folder in (runs / word, Path(word)):
        if is_there(folder / SWEEP):
            from mnist_arch.sweeps.front import draw_front

            return draw_front(_board(folder), kind=kind)
    if (line := _finished_line(word, runs)) is None:
        raise RunError(f"{word} has no finished run", hint="mnist-arch runs lists what there is")
    return _drawn_curves(Run(line.finished[0].folder), kind)


def _drawn_curves(run: Run, kind: Format) -> bytes:
    from mnist_arch.runs.curves import draw_curves
    from mnist_arch.training.events import EpochRecord

    if (result := run.result()) is None:
        raise RunError(f"{run.folder} is not finished", hint="mnist-arch runs lists what there is")
    records = [EpochRecord(**it) for it in run.metrics(epochs=result.epochs)]
    title = f"{run.name}, seed {result.seed}: {result.accuracy_percent:.2f} % ({result.split})"
    return draw_curves(records, split=result.split, title=title, kind=kind)


def _finished_line(word: str, runs: Path) -> Line | None:
    if name_in_zoo(word) is not None:
        return None
    try:
        lines = chosen(word, runs=runs)
    except RunError:
        if word in zoo_names() or is_there(Path(word)):
            return None
        raise
    return next((line for line in lines if line.finished), None)


def _of(limit: int | None) -> str:
    return "" if limit is None else f" of fewer than {limit:,}"


def network_part(counted: CountedExperiment) -> NetworkPart:
    """Diagram, receptive field, costs and budget."""
    experiment, plan = counted.experiment, counted.plan
    budget = experiment.budget
    left = budget.headroom(counts_of(experiment, plan))
    facts = [
        ("parameters", f"{plan.parameters:,} of fewer than {budget.parameters_below:,}"),
        ("left", f"{left.parameters:,}"),
        ("epochs", f"{experiment.recipe.epochs:,} of fewer than {budget.epochs_below:,}"),
        ("MACs", f"{plan.macs:,}{_of(budget.macs_below)}"),
        ("receptive field", f"{plan.receptive_field} pixels"),
        ("memory of inference", f"{plan.sizes.inference_bytes:,}{_of(budget.bytes_below)} bytes"),
    ]
    pictures = [
        ("Where parameters, MACs and memory go", costs(plan)),
        ("Receptive field", receptive_field(plan, _digit())),
        ("Layers", diagram(plan, experiment.name)),
    ]
    return NetworkPart(experiment.name, counted, facts, pictures)


def _digit() -> str:
    """A digit of the embedded sample, where it is at hand without parsing it."""
    import numpy as np

    from mnist_arch.data.folders import cache_folder
    from mnist_arch.report.svg import png

    folder = cache_folder()
    try:
        with np.load((folder or Path()) / "mnist-5k.npz", allow_pickle=False) as arrays:
            return png([bytes(row) for row in arrays["images"][1234, 0]])
    except (OSError, KeyError, ValueError, IndexError):
        return ""


def _run(line: Line, data_dir: Path | None) -> RunPart:
    runs = [Run(it.folder) for it in line.finished]
    manifests = [run.manifest() for run in runs]
    results = [result for run in runs if (result := run.result()) is not None]
    experiment = manifests[0].experiment
    score = Score.of(results, experiment.budget)
    illustrations, why_none = None, ""
    try:
        from mnist_arch.report.illustrations import illustrate

        illustrations = illustrate(runs[0].folder, data_dir=data_dir)
    except MnistArchError as error:
        why_none = f"What weights and images say is not shown: {error}"
    return RunPart(
        title=line.name,
        score=score,
        curves=list(_curves(runs, score, manifests[0])),
        repeat=[_repeat(it) for it in manifests],
        network=network_part(count(manifests[0].loaded)),
        illustrations=illustrations,
        why_none=why_none,
    )


def _curves(runs: Sequence[Run], score: Score, manifest: Manifest) -> Iterator[tuple[str, Markup]]:
    records = [run.curve() for run in runs]
    accuracy = [
        [(float(it["epoch"]), 100 * it["correct"] / it["images"]) for it in one if it["correct"]]
        for one in records
    ]
    budget = manifest.experiment.budget
    is_asked = (score.dataset, score.split) == (budget.dataset, "test")
    yield (
        f"Accuracy by epoch, % ({score.split}, {_seeds(len(runs))})",
        chart(
            _band(accuracy),
            title="accuracy by epoch",
            x_label="epoch",
            line=budget.accuracy_percent if is_asked else None,
            line_label=f"budget: {budget.accuracy_percent:g} %",
        ),
    )
    loss = [[(float(it["epoch"]), it["train_loss"]) for it in one] for one in records]
    yield "Training loss by epoch", chart(_band(loss), title="loss by epoch", x_label="epoch")


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def _band(curves: Sequence[Sequence[tuple[float, float]]]) -> list[Series]:
    """The mean of several curves, and a band from the lowest to the highest."""
    by_x: dict[float, list[float]] = {}
    for x, y in (point for curve in curves for point in curve):
        by_x.setdefault(x, []).append(y)
    mean = [(x, statistics.fmean(ys)) for x, ys in sorted(by_x.items())]
    band = [(min(ys), max(ys)) for _, ys in sorted(by_x.items())] if len(curves) > 1 else []
    return [Series(mean, "c0", low_high=band, as_points=len(mean) == 1)]


def _repeat(manifest: Manifest) -> Facts:
    """What is needed to train it again."""
    git, engine = manifest.git, manifest.engine.model_dump(mode="json", exclude_none=True)
    return [
        ("command", shlex.join(manifest.command)),
        ("seed", str(manifest.seed)),
        ("data SHA-256", manifest.data_sha256),
        ("engine", ", ".join(f"{name} {it}" for name, it in engine.items())),
        ("versions", ", ".join(f"{k} {v}" for k, v in sorted(manifest.versions.items()))),
        ("commit", f"{git.commit}{' with changes' if git.changed else ''}" if git else "–"),
        ("started", manifest.started),
    ]


def _board(folder: Path) -> Leaderboard:
    path = folder / "leaderboard.json"
    if not is_there(path):
        hint = "sweep('FILE', show=True) writes none: run the sweep first"
        raise RunError(f"the sweep in {folder} has no leaderboard yet", hint=hint)
    return read_record(path, Leaderboard)


def _sweep(folder: Path) -> SweepPart:
    board = _board(folder)
    ranked = [it for it in board.standings if it.holdout is not None]
    points = [
        Series(
            [(it.parameters, it.holdout.mean_percent)],
            "c1" if it.front else "c0",
            tip=f"{it.name}: {it.holdout}, {it.parameters:,} parameters",
            low_high=[_error_bar(it)],
            as_points=True,
        )
        for it in ranked
        if it.holdout is not None
    ]
    curves = [
        Series(curve, "c1" if it.front else "c0", tip=f"{it.name}, seed {trial.seed}")
        for it in board.standings
        for trial in it.trials
        if trial.folder and (curve := _curve(folder / trial.folder))
    ]
    pictures = [
        (
            "Hold-out accuracy, %, against parameters; the front stands out",
            chart(
                points,
                title="accuracy against parameters",
                x_label="parameters",
                vertical=board.budget.parameters_below if points else None,
            ),
        ),
        (
            "Learning curves: hold-out accuracy, %; point at one to see its name",
            chart(curves, title="learning curves", x_label="epoch"),
        ),
    ]
    if board.search is not None:
        pictures.append(("What was searched: each line is an arm", _searched(ranked)))
    failed = [(it.name, it.rejected) for it in board.standings if it.rejected]
    failed += [
        (f"{it.name}, seed {trial.seed}", trial.reason)
        for it in board.standings
        for trial in it.failures
    ]
    firsts = [folder / trial.folder for it in ranked[:1] for trial in it.trials if trial.folder]
    repeat = [_repeat(Run(it).manifest()) for it in firsts if is_there(it / Run.MANIFEST)]
    return SweepPart(board.name, board, [it for it in pictures if it[1]], failed, repeat)


def _searched(ranked: Sequence[Standing]) -> Markup:
    """Parallel coordinates of the arms that have a value of everything that was varied."""
    places = list(dict.fromkeys(place for it in ranked for place in it.differs))
    lines = [
        Across(
            [*(it.differs[place] for place in places), it.holdout.mean_percent],
            "c1" if it.front else "c0",
            tip=f"{it.name}: {it.holdout}; "
            + ", ".join(f"{place}={it.differs[place]}" for place in places),
        )
        for it in ranked
        if it.holdout is not None and it.differs.keys() == set(places)
    ]
    return parallel([*places, "hold-out %"], lines, title="parallel coordinates of the search")


def _error_bar(it: Standing) -> tuple[float, float]:
    assert it.holdout is not None
    spread = it.holdout.spread_percent or 0.0
    return it.holdout.mean_percent - spread, it.holdout.mean_percent + spread


def _curve(folder: Path) -> list[tuple[float, float]]:
    try:
        records = Run(folder).curve()
    except MnistArchError:
        return []
    return [
        (float(epoch), 100 * it["correct"] / it["images"])
        for epoch, it in enumerate(records, 1)
        if it.get("correct") is not None and it.get("images")
    ]
