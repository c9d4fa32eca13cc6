"""Two processes of one thread, each with half of the batch, compared with one of two threads with
all.

    python benchmarks/replicas.py --pairs 5 --out benchmarks/results/replicas.json

The two average their gradients at every step, over gloo. That is another method, and no part of the
product: each replica norms by its own half of the batch and keeps running statistics of its own, so
that the weights are not those that one process reaches, and its average is of half the images. The
figure is the ratio of images a second, replicas by the one process, pair by pair; start-up and
compiling are left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Final, get_args

import torch
import torch.distributed as dist
from report import origin, publish, spread, table
from torch import Tensor

from mnist_arch import load, load_split
from mnist_arch.data.catalog import DatasetName
from mnist_arch.spec.overrides import override
from mnist_arch.training.compiled import CompiledStep
from mnist_arch.training.engine import EngineName
from mnist_arch.training.engine_choice import choose_engine, prepare
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.loop import make_step
from mnist_arch.training.optimizer import Optimizer
from mnist_arch.training.state import State

WARM_UPS: Final = 5
"""Steps before those that are timed, since the first are slower."""


@dataclass(frozen=True)
class Task:
    """What the processes of one side train."""

    replicas: int
    threads: int
    """Of each."""
    engine: EngineName
    dataset: DatasetName
    batch_size: int
    """Over all replicas."""
    steps: int


class AveragedGradients(Optimizer):
    """Steps along the mean of all replicas' gradients, which travel as one flat tensor."""

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        gradients = [it for group in self.groups for it in group.gradients()]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        super().step(rate)


def replica(rank: int, task: Task, folder: str, seconds: Queue[float]) -> None:
    """One process of a side. The first of them says how long the steps took."""
    choice = choose_engine(device="cpu", threads=task.threads, wanted=task.engine)
    prepare(choice.engine)
    address = f"file://{folder}/{task.replicas}"
    dist.init_process_group("gloo", address, rank=rank, world_size=task.replicas)
    share = task.batch_size // task.replicas
    values = {"batch_size": share, "last_batch": "drop"}
    overrides = [override(f"recipe.{name}", value, origin="") for name, value in values.items()]
    experiment = load("s6", overrides=overrides).with_dataset(task.dataset).experiment
    whole = load_split(task.dataset, "train")
    part = slice(rank, None, task.replicas)
    own = replace(whole, images=whole.images[part], labels=whole.labels[part])
    state = State.fresh(experiment, seed=0)
    state.augment.manual_seed(rank)
    if task.replicas > 1:
        state.optimizer = AveragedGradients(state.model, experiment.recipe)
    step = make_step(choice.engine, state, own, batch=share)
    if isinstance(step, CompiledStep):
        step.compile()
    torch.manual_seed(rank)  # of dropout, after compiling, which goes back to the state's stream
    epoch = EpochPlan.next(state, len(own))
    step.begin(epoch)
    state.model.train()
    for number in range(WARM_UPS + task.steps):
        if number == WARM_UPS:
            dist.barrier()
            start = time.perf_counter()
        step(number % len(epoch.rates))
    dist.barrier()
    if rank == 0:
        seconds.put(time.perf_counter() - start)
    refuse_apart(state)
    dist.destroy_process_group()


def refuse_apart(state: State) -> None:
    """Raises AssertionError where the replicas do not have the same weights."""
    own = torch.cat([tensor.detach().flatten() for tensor in state.model.parameters()])
    first = own.clone()
    dist.broadcast(first, src=0)
    assert torch.equal(own, first), "the replicas have come apart"


def images_per_second(task: Task) -> float:
    """Of all replicas of a side, in processes of their own."""
    context = multiprocessing.get_context("spawn")
    seconds: Queue[float] = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=replica, args=(rank, task, folder, seconds))
            for rank in range(task.replicas)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit(f"a replica of {task.replicas} failed")
    speed = task.steps * task.batch_size / seconds.get()
    print(f"{task.replicas} × {task.threads} threads: {speed:,.0f} images/s", file=sys.stderr)
    return speed


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--batch-size", type=int, default=64)
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--engine", choices=get_args(EngineName), default="fast")
    options.add_argument("--dataset", choices=get_args(DatasetName), default="mnist-5k")
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    both = [
        Task(
            replicas=replicas,
            threads=threads,
            engine=arguments.engine,
            dataset=arguments.dataset,
            batch_size=arguments.batch_size,
            steps=arguments.steps,
        )
        for replicas, threads in ((1, 2), (2, 1))
    ]
    pairs = [tuple(map(images_per_second, both)) for _ in range(arguments.pairs)]
    one, two = zip(*pairs, strict=True)
    ratios = [replicas / alone for alone, replicas in pairs]
    report = {
        **origin(),
        "engine": arguments.engine,
        "dataset": arguments.dataset,
        "batch_size": arguments.batch_size,
        "steps": arguments.steps,
        "one_process_images_per_second": one,
        "replicas_images_per_second": two,
        "ratios": ratios,
        "ratio": spread(ratios),
    }
    rows = [
        [name, *(f"{value:,.0f}" for value in spread(values).values())]
        for name, values in (("one process", one), ("two replicas", two))
    ]
    text = table(["images/s", "median", "least", "most"], rows)
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    text += f"two replicas, in times of one process: {statistics.median(ratios):.2f} ({each})\n"
    publish(text, report, arguments.out)


if __name__ == "__main__":
    main()
