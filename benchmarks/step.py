"""The training step of s6 compared with what the machine's cores can do, and what the step is made
of.

    python benchmarks/step.py --rounds 5 --out benchmarks/results/step.json

The ceiling is a float32 product of two square matrices; it and an epoch of the loop are measured
in turn, and so is the same product in the precision of the steps. A step counts as three times the
multiply-accumulates of the plan, two operations each: forward, gradient of the input, gradient of
the weights. The first layer, which needs no gradient of its input, is counted like the others, as
is the custom. Only convolutions and linear layers count, while all that a step does takes time. The
profile is of another epoch of the same loop.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import torch
from report import origin, publish, spread, table
from torch.profiler import ProfilerActivity, profile

from mnist_arch import Experiment, load, load_split
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import DatasetName
from mnist_arch.spec.overrides import override
from mnist_arch.training.engine import Engine, EngineName
from mnist_arch.training.engine_choice import choose_engine, prepare
from mnist_arch.training.events import EpochRecord, NotCompiled
from mnist_arch.training.loop import train
from mnist_arch.training.state import State

SIDE: Final = 4096
"""Rows and columns of the matrices."""
PRODUCTS: Final = 3
"""Of a round, whose figure is their median."""

GROUPS: Final = (
    ("convolution, backward", ("convolutionbackward",)),
    ("norm, backward", ("normbackward",)),
    ("activation", ("relu",)),
    ("pooling", ("pool",)),
    ("dropout", ("dropout", "mulbackward")),  # s6 has no other product that has a gradient
    ("convolution", ("aten::conv",)),
    ("norm", ("aten::batch_norm",)),
    ("loss", ("loss", "softmax")),
    ("optimizer and average", ("optimizer.", "_foreach_")),
    ("augmentation and data", ("grid", "aten::index", "aten::rand", "aten::to", "aten::div")),
    ("augmentation and data", ("aten::sub", "aten::sin", "aten::cos", "aten::tan")),
)
"""Parts of the names of operators, in lower case, by group. The first that fits decides."""
FUSED: Final = "norm, activation and pool, fused"
"""What a compiled network does besides its convolutions, all in loops of one call."""
REST: Final = "rest"


@dataclass(frozen=True)
class Operator:
    """One call of an operator."""

    path: tuple[str, ...]
    """Its name after those of the operators that called it, outermost first."""
    seconds: float
    """Without what it called."""


def group_of(path: Sequence[str]) -> str:
    """The group of the outermost operator that has one."""
    for name in path:
        for group, parts in GROUPS:
            if any(part in name.lower() for part in parts):
                return group
    return FUSED if any("CompiledFxGraph" in name for name in path) else REST


def shares(operators: Iterable[Operator]) -> tuple[dict[str, float], dict[str, float]]:
    """Shares of all operators' time by group, and those of the rest by its outermost operators."""
    groups: defaultdict[str, float] = defaultdict(float)
    rest: defaultdict[str, float] = defaultdict(float)
    for operator in operators:
        group = group_of(operator.path)
        groups[group] += operator.seconds
        if group == REST:
            rest[operator.path[0]] += operator.seconds
    total = sum(groups.values())
    return _largest_first(groups, total), _largest_first(rest, total)


def _largest_first(seconds: dict[str, float], total: float) -> dict[str, float]:
    return {name: seconds[name] / total for name in sorted(seconds, key=lambda it: -seconds[it])}


def step_gflops(images_per_second: float, *, macs: int) -> float:
    """Of forward, gradient of the input and gradient of the weights: two operations a MAC each."""
    return images_per_second * 3 * 2 * macs / 1e9


def product_gflops(left: torch.Tensor, right: torch.Tensor) -> float:
    """Of a product of two square matrices: the median of several."""
    seconds = []
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - start)
    return 2 * len(left) ** 3 / statistics.median(seconds) / 1e9


def epochs_of(
    experiment: Experiment, dataset: DatasetName, engine: Engine
) -> Iterator[EpochRecord]:
    """The real loop, an epoch at a time; it is judged after the last one only."""
    training, judged_on = load_split(dataset, "train"), load_split(dataset, "test")
    state = State.fresh(experiment, seed=0)
    for record in train(state, training, judged_on, judge_after="last-epoch", engine=engine):
        if isinstance(record, NotCompiled):
            sys.exit(f"steps are not compiled here: {record.trouble}")
        if isinstance(record, EpochRecord):
            yield record


def profiled(epochs: Iterator[EpochRecord]) -> tuple[list[Operator], float]:
    """Every call of an operator in the next epoch, and the seconds the epoch took."""
    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        next(epochs)
        seconds = time.perf_counter() - start
    operators = [
        Operator(path_of(event), event.self_cpu_time_total / 1e6) for event in recorded.events()
    ]
    return operators, seconds


def path_of(event: Any) -> tuple[str, ...]:
    """Names of a recorded operator and of all that called it, outermost first."""
    names = [event.name]
    while (event := event.cpu_parent) is not None:
        names.append(event.name)
    return tuple(reversed(names))


@dataclass(frozen=True)
class Study:
    """A training step compared with the machine's ceiling, and what it is made of."""

    engine: Engine
    macs: int
    ceilings: list[float]
    """GFLOP/s of a large product in float32, round by round."""
    ceilings_of_precision: list[float]
    """The same in the precision of the engine."""
    speeds: list[float]
    """Images a second of an epoch, round by round."""
    operators: list[Operator]
    profile_seconds: float

    @property
    def reached(self) -> list[float]:
        """GFLOP/s of a step, round by round."""
        return [step_gflops(speed, macs=self.macs) for speed in self.speeds]

    @property
    def share(self) -> list[float]:
        return [step / ceiling for step, ceiling in zip(self.reached, self.ceilings, strict=True)]

    @property
    def operator_seconds(self) -> float:
        return sum(operator.seconds for operator in self.operators)

    def report(self) -> dict[str, Any]:
        by_group, by_name = shares(self.operators)
        return {
            "engine": self.engine.model_dump(),
            "macs": self.macs,
            "ceiling_gflops": self.ceilings,
            "ceiling_gflops_of_precision": self.ceilings_of_precision,
            "images_per_second": self.speeds,
            "step_gflops": self.reached,
            "share_of_ceiling": self.share,
            "share_of_ceiling_spread": spread(self.share),
            "profile": {
                "seconds": self.profile_seconds,
                "operator_seconds": self.operator_seconds,
                "groups": by_group,
                "rest": by_name,
            },
        }

    def text(self) -> str:
        by_group, by_name = shares(self.operators)
        rows = [
            [name, *(f"{value:,.0f}" for value in spread(values).values())]
            for name, values in (
                ("ceiling in float32, GFLOP/s", self.ceilings),
                (f"a product in {self.engine.precision}, GFLOP/s", self.ceilings_of_precision),
                ("step, GFLOP/s", self.reached),
                ("images/s", self.speeds),
            )
        ]
        share = (f"{value:.1%}" for value in spread(self.share).values())
        rows.append(["share of the ceiling", *share])
        parts = [[name, f"{part:.1%}"] for name, part in by_group.items()]
        text = table(["", "median", "least", "most"], rows) + "\n"
        text += table(["time in operators", ""], parts)
        text += "".join(f"  {name}: {part:.1%}\n" for name, part in list(by_name.items())[:8])
        times = f"{self.operator_seconds:.1f} s of {self.profile_seconds:.1f} s"
        return f"{text}operators take {times}, under the profiler\n"


def study(engine: Engine, *, dataset: DatasetName, batch_size: int, rounds: int) -> Study:
    """Measures s6 in this process, whose threads become the engine's."""
    prepare(engine)
    # The first epoch is plain and compiling is in the second; after the rounds come one for the
    # profile and the last, which is never reached.
    values = {"batch_size": batch_size, "epochs": 2 + rounds + 2}
    overrides = [override(f"recipe.{name}", value, origin="") for name, value in values.items()]
    experiment = load("s6", overrides=overrides).with_dataset(dataset).experiment
    epochs = epochs_of(experiment, dataset, engine)
    rng = torch.Generator().manual_seed(0)
    left, right = (torch.randn(SIDE, SIDE, generator=rng) for _ in range(2))
    narrow = [it.to(getattr(torch, engine.precision)) for it in (left, right)]
    torch.mm(left, right), torch.mm(*narrow), next(epochs), next(epochs)
    speeds, ceilings, of_precision = [], [], []
    for _ in range(rounds):
        ceilings.append(product_gflops(left, right))
        of_precision.append(product_gflops(*narrow))
        speeds.append(next(epochs).images_per_second)
    operators, seconds = profiled(epochs)
    macs = plan_network(experiment).macs
    return Study(engine, macs, ceilings, of_precision, speeds, operators, seconds)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--batch-size", type=int, default=128)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--engine", choices=get_args(EngineName), default="fast")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--dataset", choices=get_args(DatasetName), default="mnist-5k")
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    dataset, batch_size = arguments.dataset, arguments.batch_size
    engine = choose_engine(device="cpu", threads=arguments.threads, wanted=arguments.engine).engine
    found = study(engine, dataset=dataset, batch_size=batch_size, rounds=arguments.rounds)
    report = {**origin(), "dataset": dataset, "batch_size": batch_size, **found.report()}
    publish(found.text(), report, arguments.out)


if __name__ == "__main__":
    main()
