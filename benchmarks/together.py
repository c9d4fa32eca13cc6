"""Several trainings of s6 at once on one device, each a process, and their images a second in all.

    python benchmarks/together.py --runs 1 2 4 --out benchmarks/results/together.json

The images are made up, and live on the device. Processes wait for each other before each round, so
that start-up, compiling and capturing are left out. A round counts from the first that starts to
the last that is done. On a GPU the processes share it by time, as they do where no MPS server runs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final, get_args

import torch
from report import origin, publish, spread, table

from mnist_arch import load
from mnist_arch.data.catalog import IMAGE_SHAPE
from mnist_arch.data.split import Split
from mnist_arch.spec.overrides import override
from mnist_arch.training.compiled import CompiledStep
from mnist_arch.training.engine import Device, Engine, EngineName
from mnist_arch.training.engine_choice import choose_engine, prepare
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.loop import make_step
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep

WARM_UPS: Final = 5
"""Steps before the first round, since the first are slower."""
LONGEST_START_SECONDS: Final = 600.0
"""After which a process that has not come to a round counts as lost."""


@dataclass(frozen=True)
class Task:
    """What each of the processes does."""

    device: Device
    threads: int
    wanted: EngineName
    batch_size: int
    images: int
    steps: int
    """Of a round."""
    rounds: int


@dataclass(frozen=True)
class Round:
    """One process in one round, in seconds of a clock that all processes share."""

    start: float
    end: float


@dataclass(frozen=True)
class Reading:
    """So many processes at once."""

    runs: int
    engine: Engine
    images_per_second: list[float]
    """Of all processes, round by round."""


def run(task: Task, barrier: Barrier, found: Queue[tuple[Engine, list[Round]]]) -> None:
    """One training, in a process of its own."""
    choice = choose_engine(device=task.device, threads=task.threads, wanted=task.wanted)
    prepare(choice.engine)
    values = {"batch_size": task.batch_size, "last_batch": "drop"}
    overrides = [override(f"recipe.{name}", value, origin="") for name, value in values.items()]
    experiment = load("s6", overrides=overrides).with_dataset("mnist").experiment
    training = made_up(task.images, device=task.device)
    state = State.fresh(experiment, seed=0, device=task.device)
    state.use_dropout_stream()
    step = make_step(choice.engine, state, training, batch=task.batch_size)
    if isinstance(step, CompiledStep):
        step.compile()
    state.model.train()
    train(step, training, steps=WARM_UPS)
    rounds = []
    for _ in range(task.rounds):
        barrier.wait(LONGEST_START_SECONDS)
        start = time.monotonic()
        train(step, training, steps=task.steps)
        rounds.append(Round(start, time.monotonic()))
    found.put((choice.engine, rounds))


def made_up(images: int, *, device: Device) -> Split:
    """Random pixels and labels."""
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, *IMAGE_SHAPE), generator=rng, dtype=torch.uint8)
    labels = torch.randint(0, 10, (images,), generator=rng)
    return Split(pixels.to(device), labels.to(device), "train")


def train(step: PlainStep, training: Split, *, steps: int) -> None:
    """So many steps, done when this returns; every new epoch is the first of the recipe."""
    while steps > 0:
        epoch = EpochPlan.next(step.state, len(training))
        step.begin(epoch)
        for number in range(min(steps, len(epoch.rates))):
            step(number)
        steps -= len(epoch.rates)
    step.losses_S.cpu()  # waits for the device


def throughput(processes: list[list[Round]], *, images: int) -> list[float]:
    """Images a second in each round, where each process learns from so many."""
    rounds = zip(*processes, strict=True)
    return [
        len(processes) * images / (max(it.end for it in one) - min(it.start for it in one))
        for one in rounds
    ]


def measured(task: Task, *, runs: int) -> Reading:
    """So many processes at once. Raises SystemExit where one of them fails."""
    context = multiprocessing.get_context("spawn")
    barrier, found = context.Barrier(runs), context.Queue()
    processes = [context.Process(target=run, args=(task, barrier, found)) for _ in range(runs)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit(f"a process of {runs} failed")
    engines, rounds = zip(*(found.get() for _ in processes), strict=True)
    speeds = throughput([*rounds], images=task.steps * task.batch_size)
    print(f"{runs} at once: {statistics.median(speeds):,.0f} images/s", file=sys.stderr)
    return Reading(runs, engines[0], speeds)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options.add_argument("--runs", type=int, nargs="+", default=[1, 2, 4])
    options.add_argument("--threads", type=int, default=1, help="of each run")
    options.add_argument("--engine", choices=get_args(EngineName), default="fast")
    options.add_argument("--batch-size", type=int, default=64)
    options.add_argument("--images", type=int, default=6400)
    options.add_argument("--steps", type=int, default=100, help="of a round")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    task = Task(
        device=arguments.device,
        threads=arguments.threads,
        wanted=arguments.engine,
        batch_size=arguments.batch_size,
        images=arguments.images,
        steps=arguments.steps,
        rounds=arguments.rounds,
    )
    readings = [measured(task, runs=runs) for runs in arguments.runs]
    alone = statistics.median(readings[0].images_per_second) / readings[0].runs
    report = {
        **origin(),
        "device_name": torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu",
        "batch_size": task.batch_size,
        "images": task.images,
        "steps": task.steps,
        "readings": [
            {
                "runs": reading.runs,
                "engine": reading.engine.model_dump(),
                "images_per_second": reading.images_per_second,
                "spread": spread(reading.images_per_second),
            }
            for reading in readings
        ],
    }
    rows = []
    for reading in readings:
        speeds = spread(reading.images_per_second)
        gain = speeds["median"] / alone
        cells = (f"{speed:,.0f}" for speed in speeds.values())
        rows.append([f"{reading.runs} at once, {reading.engine.step}", *cells, f"{gain:.2f}"])
    heading = f"of {arguments.runs[0]} a run" if arguments.runs[0] > 1 else "of one"
    text = table(["images/s in all", "median", "least", "most", f"times {heading}"], rows)
    publish(text, report, arguments.out)


if __name__ == "__main__":
    main()
