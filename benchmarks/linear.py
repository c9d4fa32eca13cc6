"""Seconds of an epoch by the number of training images and by the work of the network.

    python benchmarks/linear.py --out benchmarks/results/linear.json \\
        --picture docs/pictures/linear.svg

The networks are s6 with other convolutions in its first block, where most of its work is; their
channels are multiples of 8, which is what convolutions on a CPU are made for. The images are the
first ones of the dataset.
Every point is the median of a few epochs, measured in turns over all points, so that what changes
in the machine falls on all of them. Evaluation is not part of it.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from report import origin, publish, table

from mnist_arch import Experiment, load
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import DatasetName
from mnist_arch.data.load import load_split
from mnist_arch.data.split import Split
from mnist_arch.drawing import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    RED,
    SOFT,
    drawing,
    file_bytes,
    frame_and_grid,
    new_figure,
)
from mnist_arch.spec.overrides import parse_override
from mnist_arch.training.engine import Engine, EngineName
from mnist_arch.training.engine_choice import choose_engine, prepare
from mnist_arch.training.events import EpochRecord
from mnist_arch.training.loop import train
from mnist_arch.training.state import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NETWORKS = ["8,16", "8,16,16", "8,16,32", "8,16,16,32", "8,16,24,32"]
"""Channels of the first block; the third is s6."""

COLORS = (BLUE, ORANGE, GREEN, RED, SOFT)


@dataclass(frozen=True)
class Point:
    """A network and a number of images."""

    channels: str
    """Of the first block."""
    macs: int
    images: int
    """Training images of an epoch."""
    seconds: float
    """Of an epoch: the median."""


@dataclass(frozen=True)
class Line:
    """The straight line through a series of points by least squares."""

    slope: float
    start: float
    r2: float
    """Share of the variance of the seconds that it explains."""


@dataclass(frozen=True)
class Fit:
    """seconds = per_image_and_mac · images · macs + per_image · images, by least squares."""

    per_image_and_mac: float
    per_image: float
    r2: float
    largest_error: float
    """Of a point, as a share of its seconds."""

    def seconds(self, point: Point) -> float:
        return (self.per_image_and_mac * point.macs + self.per_image) * point.images


def line_through(x: Sequence[float], seconds: Sequence[float]) -> Line:
    """By least squares, wherever it starts."""
    slope, start = np.polyfit(x, seconds, 1)
    expected = slope * np.asarray(x) + start
    return Line(float(slope), float(start), _r2(seconds, expected.tolist()))


def fitted(points: Sequence[Point]) -> Fit:
    """One for all points, through the origin."""
    seconds = [point.seconds for point in points]
    columns = [[point.images * point.macs, point.images] for point in points]
    scale = np.max(columns, axis=0)  # else the columns are a million apart
    (first, second), *_ = np.linalg.lstsq(np.array(columns) / scale, np.array(seconds), rcond=None)
    fit = Fit(float(first / scale[0]), float(second / scale[1]), math.nan, math.nan)
    expected = [fit.seconds(point) for point in points]
    errors = (abs(it / real - 1) for it, real in zip(expected, seconds, strict=True))
    return dataclasses.replace(fit, r2=_r2(seconds, expected), largest_error=max(errors))


def _r2(seconds: Sequence[float], expected: Sequence[float]) -> float:
    mean = statistics.fmean(seconds)
    left = sum((real - it) ** 2 for real, it in zip(seconds, expected, strict=True))
    return 1 - left / sum((real - mean) ** 2 for real in seconds)


# --------------------------------------------------------------------------------------- measuring


def network(channels: str, dataset: DatasetName, *, epochs: int) -> Experiment:
    """s6 with these channels, separated by commas, in its first block."""
    values = (f"blocks.0.channels=[{channels}]", f"recipe.epochs={epochs}", f"dataset={dataset}")
    return load("s6", overrides=[parse_override(value) for value in values]).experiment


def trained_images(experiment: Experiment, split: Split) -> int:
    """Images that an epoch trains on."""
    return sum(experiment.recipe.batches(len(split)))


def epoch_seconds(experiment: Experiment, split: Split, engine: Engine) -> Iterator[float]:
    """Training time of one epoch after the other, up to the last but one."""
    # It would be looked at after the last.
    judged_on = replace(split, images=split.images[:1], labels=split.labels[:1])
    images = trained_images(experiment, split)
    state = State.fresh(experiment, seed=0)
    for record in train(state, split, judged_on, judge_after="last-epoch", engine=engine):
        if isinstance(record, EpochRecord):
            yield images / record.images_per_second


def measured(
    whole: Split,
    dataset: DatasetName,
    *,
    sizes: Sequence[int],
    networks: Sequence[str],
    repeats: int,
    engine: Engine,
) -> list[Point]:
    """Every network with every size, in turns."""
    parts = [
        replace(whole, images=whole.images[:size], labels=whole.labels[:size]) for size in sizes
    ]
    cases = [
        (channels, network(channels, dataset, epochs=repeats + 1), part)
        for channels in networks
        for part in parts
    ]
    loops = [epoch_seconds(experiment, part, engine) for _, experiment, part in cases]
    rounds = []
    for number in range(repeats):
        rounds.append([next(loop) for loop in loops])
        print(f"turn {number + 1} of {repeats}: {sum(rounds[-1]):.0f} s", file=sys.stderr)
    medians = [statistics.median(seconds) for seconds in zip(*rounds, strict=True)]
    return [
        Point(channels, plan_network(experiment).macs, trained_images(experiment, part), seconds)
        for (channels, experiment, part), seconds in zip(cases, medians, strict=True)
    ]


# ----------------------------------------------------------------------------------------- series


@dataclass(frozen=True)
class Series:
    """Points that differ in one of the two alone, and their straight line."""

    label: str
    x: tuple[float, ...]
    seconds: tuple[float, ...]
    line: Line

    @classmethod
    def of(cls, label: str, x: Sequence[float], points: Sequence[Point]) -> Series:
        seconds = [point.seconds for point in points]
        return cls(label, tuple(x), tuple(seconds), line_through(x, seconds))


def by_images(points: Sequence[Point]) -> list[Series]:
    """Seconds by images: a series a network."""
    networks = {
        point.channels: [it for it in points if it.channels == point.channels] for point in points
    }
    return [
        Series.of(
            f"{channels}: {same[0].macs / 1e6:.1f} M MACs",
            [point.images for point in same],
            same,
        )
        for channels, same in networks.items()
    ]


def by_macs(points: Sequence[Point]) -> list[Series]:
    """Seconds by millions of MACs: a series a number of images."""
    sizes = {point.images: [it for it in points if it.images == point.images] for point in points}
    return [
        Series.of(f"{images:,} images", [point.macs / 1e6 for point in same], same)
        for images, same in sizes.items()
    ]


def draw(left: Sequence[Series], right: Sequence[Series]) -> bytes:
    """Both, side by side, as SVG; dots are medians, lines are least squares."""
    with drawing():
        figure = new_figure(12, 4.8, "Seconds of an epoch")
        axes_left, axes_right = figure.subplots(1, 2)
        _draw_panel(axes_left, left, "By data", "training images")
        _draw_panel(axes_right, right, "By work", "multiply-accumulates of an image, millions")
        return file_bytes(figure, "svg")


def _draw_panel(axes: Axes, series: Sequence[Series], title: str, what: str) -> None:
    for color, one in zip(COLORS, series, strict=False):
        ends = (0.0, max(one.x))
        heights = [one.line.start + one.line.slope * end for end in ends]
        axes.plot(ends, heights, color=color, linewidth=1.4)
        label = f"{one.label}, R² {one.line.r2:.4f}"
        axes.plot(one.x, one.seconds, "o", color=color, markersize=5.5, label=label)
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    axes.set_xlabel(what, fontsize=9, color=SOFT)
    axes.set_ylabel("seconds", fontsize=9, color=SOFT)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    frame_and_grid(axes)
    handles, labels = axes.get_legend_handles_labels()
    order = slice(None, None, -1)  # as the lines lie above one another
    axes.legend(
        handles[order], labels[order], frameon=False, fontsize=9, labelcolor=INK, loc="upper left"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--dataset", choices=get_args(DatasetName), default="mnist")
    options.add_argument("--data-dir", type=Path)
    options.add_argument("--images", type=int, nargs="+", default=[5_120, 10_240, 20_480])
    options.add_argument("--networks", nargs="+", default=NETWORKS)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--engine", choices=get_args(EngineName), default="native")
    options.add_argument("--out", type=Path)
    options.add_argument("--picture", type=Path)
    arguments = options.parse_args()
    engine = choose_engine(device="cpu", threads=arguments.threads, wanted=arguments.engine).engine
    prepare(engine)
    whole = load_split(arguments.dataset, "train", data_dir=arguments.data_dir)
    if len(whole) < max(arguments.images):
        options.error(f"{arguments.dataset} has {len(whole):,} training images")
    points = measured(
        whole,
        arguments.dataset,
        sizes=arguments.images,
        networks=arguments.networks,
        repeats=arguments.repeats,
        engine=engine,
    )
    fit, left, right = fitted(points), by_images(points), by_macs(points)
    report = {
        **origin(),
        "dataset": arguments.dataset,
        "threads": arguments.threads,
        "engine": engine.step,
        "repeats": arguments.repeats,
        "points": [dataclasses.asdict(point) for point in points],
        "fit": dataclasses.asdict(fit),
        "by_images": [dataclasses.asdict(one) for one in left],
        "by_macs": [dataclasses.asdict(one) for one in right],
    }
    if arguments.picture:
        arguments.picture.write_bytes(draw(left, right))
    rows = [
        [one.label, *(f"{seconds:.2f}" for seconds in one.seconds), f"{one.line.r2:.5f}"]
        for one in left
    ]
    rows.append(["R² by MACs", *(f"{one.line.r2:.5f}" for one in right), ""])
    text = table(["seconds of an epoch", *(one.label for one in right), "R² by images"], rows)
    text += (
        f"seconds = images × ({fit.per_image_and_mac * 1e12:.3g} ps × MACs "
        f"+ {fit.per_image * 1e6:.3g} µs), R² {fit.r2:.5f}, "
        f"no point further off than {fit.largest_error:.1%}\n"
    )
    publish(text, report, arguments.out)


if __name__ == "__main__":
    main()
