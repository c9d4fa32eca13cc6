"""What memory that is kept gives on s6, and after how much training a compiled step pays back.

    python benchmarks/payback.py --only warm-up --pairs 2 --out benchmarks/results/warm-up.json

Every reading is of a process of its own; processes take turns. The start is that of a whole process
until its first step is done, imports and data included: plain, compiled with the compiler's cache
empty, and compiled with the cache that this left. What compiling costs is the start beyond the
plain one; what it gives is milliseconds a step, compared with plain ones run in turn in the same
process. All steps have the precision that is fast on this machine. The operations in which it is
paid back, for each thread, are what COMPILE_FROM_FLOPS in mnist_arch/engines.py is to be compared
with.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, get_args

from peer import measured
from report import origin, publish, table
from turns import HEADINGS, Call, Lever, Readings, measure

from mnist_arch import load
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.training.engine_choice import (
    COMPILE_FROM_FLOPS,
    choose_engine,
    prepare,
)
from mnist_arch.training.work import training_flops

THREADS: Final = (1, 2)
CACHE_VARIABLE: Final = "TORCHINDUCTOR_CACHE_DIR"
BLOCKS: Final = 9
"""Of each kind of step in a child, whose figure is their median."""


@dataclass(frozen=True)
class ChildTimes:
    """What a child prints, as one JSON object."""

    first_step_at: float
    """Seconds since the epoch."""
    step_ms: float
    plain_step_ms: float
    """In turn with those; the same where they are plain."""
    evaluation_seconds: float


@dataclass(frozen=True)
class Child:
    """A whole process."""

    start_seconds: float
    """Until its first step was done."""
    step_ms: float
    plain_step_ms: float
    evaluation_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Payback:
    """Compiled steps against plain ones."""

    threads: int
    cache: str
    images: list[float | None]
    """Of s6, after which they are ahead, round by round; None where a step is not faster."""

    def flops_per_thread(self, *, macs: int) -> list[float | None]:
        """Floating-point operations of a training of so many images, by the threads."""
        return [
            None
            if images is None
            else training_flops(macs=macs, images=1, epochs=1) * images / self.threads
            for images in self.images
        ]


def images_to_pay_back(plain: Child, compiled: Child, *, batch: int) -> float | None:
    """Images after which the compiled process has caught up; None where it never does."""
    gained_seconds = (compiled.plain_step_ms - compiled.step_ms) / 1e3 / batch
    lost_seconds = max(compiled.start_seconds - plain.start_seconds, 0.0)
    return lost_seconds / gained_seconds if gained_seconds > 0 else None


def child(arguments: argparse.Namespace) -> ChildTimes:
    """Trains some steps in this process, and evaluates once."""
    import torch
    from variants import Bench

    from mnist_arch.evaluation.metrics import predict

    engine = choose_engine(device="cpu", threads=arguments.threads, wanted="compiled").engine
    engine = engine.model_copy(update={"step": arguments.child})
    if arguments.memory == "kept":
        prepare(engine)
    else:
        torch.set_num_threads(engine.threads)
    bench = Bench.of(arguments.dataset, batch=arguments.batch_size, steps=arguments.steps)
    make = bench.compiled if engine.step == "compiled" else bench.plain
    step = make(precision=engine.precision)
    step()
    first_step_at = time.time()
    plain = step if engine.step == "plain" else bench.plain(precision=engine.precision)
    variants: dict[str, Call] = {"plain": plain, engine.step: step}
    lever = Lever("step", variants, bench.steps)
    found = measure(lever, rounds=BLOCKS, threads=engine.threads).values
    step_ms, plain_ms = (statistics.median(found[name]) for name in (engine.step, "plain"))
    network = bench.state().result
    start = time.perf_counter()
    predict(network, bench.judged_on.images, INFO[arguments.dataset].normalization)
    return ChildTimes(first_step_at, step_ms, plain_ms, time.perf_counter() - start)


def run(arguments: argparse.Namespace, step: str, *, threads: int, memory: str = "kept") -> Child:
    """One process."""
    options = ["--child", step, "--memory", memory, "--threads", str(threads)]
    for name in ("batch-size", "steps", "dataset"):
        options += [f"--{name}", str(getattr(arguments, name.replace("-", "_")))]
    start = time.time()
    _, peak_bytes, output = measured([sys.executable, __file__, *options])
    said = ChildTimes(**json.loads(output))
    print(f"threads {threads}, {step}, memory {memory}: {said.step_ms:.1f} ms", file=sys.stderr)
    return Child(
        said.first_step_at - start,
        said.step_ms,
        said.plain_step_ms,
        said.evaluation_seconds,
        peak_bytes,
    )


def allocator(arguments: argparse.Namespace) -> list[Readings]:
    """Plain steps with freed memory given back to the system, and kept."""
    children: dict[str, list[Child]] = {"given back": [], "kept": []}
    for _ in range(arguments.pairs):
        for memory, found in children.items():
            found.append(run(arguments, "plain", threads=arguments.threads, memory=memory))
    readings = (
        ("a step", "ms", lambda one: one.step_ms),
        ("evaluation", "s", lambda one: one.evaluation_seconds),
        ("peak of memory", "MB", lambda one: one.peak_bytes / 1e6),
    )
    return [
        Readings(
            f"memory, {name}", unit, {key: [*map(read, found)] for key, found in children.items()}
        )
        for name, unit, read in readings
    ]


def warm_up(arguments: argparse.Namespace, *, threads: int) -> tuple[list[Readings], list[Payback]]:
    """The start of plain and of compiled processes, and when the compiled ones have caught up."""
    children: dict[str, list[Child]] = {"plain": [], "cold": [], "warm": []}
    for _ in range(arguments.pairs):
        with tempfile.TemporaryDirectory() as folder:
            os.environ[CACHE_VARIABLE] = folder
            for name, found in children.items():
                step = "plain" if name == "plain" else "compiled"
                found.append(run(arguments, step, threads=threads))
            del os.environ[CACHE_VARIABLE]
    starts = {name: [one.start_seconds for one in found] for name, found in children.items()}
    steps = {name: [one.step_ms for one in found] for name, found in children.items()}
    in_turn = {
        f"{name}, plain in turn": [one.plain_step_ms for one in children[name]]
        for name in ("cold", "warm")
    }
    paybacks = [
        Payback(
            threads,
            cache,
            [
                images_to_pay_back(plain, compiled, batch=arguments.batch_size)
                for plain, compiled in zip(children["plain"], children[cache], strict=True)
            ],
        )
        for cache in ("cold", "warm")
    ]
    label = f"threads {threads}"
    return [
        Readings(f"start, {label}", "s", starts),
        Readings(f"a step, {label}", "ms", steps | in_turn),
    ], paybacks


def payback_row(payback: Payback, *, macs: int) -> list[str]:
    """Medians over the rounds."""
    name = f"threads {payback.threads}, {payback.cache}"
    images = [it for it in payback.images if it is not None]
    flops = [it for it in payback.flops_per_thread(macs=macs) if it is not None]
    if len(images) < len(payback.images):
        return [name, "not in every round", ""]
    return [name, f"{statistics.median(images):,.0f}", f"{statistics.median(flops):.2e}"]


def parsed() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--batch-size", type=int, default=64)
    options.add_argument("--threads", type=int, default=2, help="where memory is what differs")
    options.add_argument("--pairs", type=int, default=3)
    options.add_argument("--steps", type=int, default=12, help="of a block")
    options.add_argument("--only", choices=("allocator", "warm-up"), nargs="+")
    options.add_argument("--dataset", choices=get_args(DatasetName), default="mnist-5k")
    options.add_argument("--out", type=Path)
    options.add_argument("--child", choices=("plain", "compiled"), help=argparse.SUPPRESS)
    options.add_argument("--memory", choices=("kept", "given back"), help=argparse.SUPPRESS)
    return options.parse_args()


def main() -> None:
    arguments = parsed()
    if arguments.child:
        print(json.dumps(asdict(child(arguments))))
        return
    wanted = arguments.only or ("allocator", "warm-up")
    macs = plan_network(load("s6").experiment).macs
    found = allocator(arguments) if "allocator" in wanted else []
    paybacks: list[Payback] = []
    if "warm-up" in wanted:
        for threads in THREADS:
            readings, caches = warm_up(arguments, threads=threads)
            found, paybacks = [*found, *readings], [*paybacks, *caches]
    report: dict[str, Any] = {
        **origin(),
        "dataset": arguments.dataset,
        "batch_size": arguments.batch_size,
        "macs": macs,
        "readings": [readings.report() for readings in found],
        "paybacks": [
            {**asdict(one), "flops_per_thread": one.flops_per_thread(macs=macs)} for one in paybacks
        ],
        "compile_from_flops": COMPILE_FROM_FLOPS,
    }
    text = table(HEADINGS, [row for readings in found for row in readings.rows()])
    if paybacks:
        rows = [payback_row(one, macs=macs) for one in paybacks]
        text += table(["pays back after", "images", "operations a thread"], rows)
        text += f"steps are compiled from {COMPILE_FROM_FLOPS:.1e} operations a thread\n"
    publish(text, report, arguments.out)


if __name__ == "__main__":
    main()
