"""A native step compared with a plain and a compiled one, in turn: s6, a residual separable
network, and ordinary ones of so many channels.

    python benchmarks/native.py --batch-sizes 64 128 --out benchmarks/results/native.json
    python benchmarks/native.py --networks wide-8 wide-32 wide-128 wide-256 --kinds native plain
    python benchmarks/native.py --networks s6 --other CHECKOUT

The other checkout is one of before the engine, c05f2a9: its compiled step is a further variant, in
a process of its own, which is told when to do one.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from report import origin, publish, table
from step import product_gflops, step_gflops
from turns import HEADINGS, Call, Lever, measure

from mnist_arch import Experiment, load, loads
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.load import load_split
from mnist_arch.data.split import Split
from mnist_arch.native.library import vectors_here
from mnist_arch.training.compiled import CompiledStep
from mnist_arch.training.engine import Precision
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.native import NativeStep
from mnist_arch.training.native_library import native_library
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep

SEPARABLE: Final = """
name: separable
defaults: {order: conv-norm-activation, bias: false}
blocks:
  - {channels: [8]}
  - channels: [{out: 8, kind: depthwise}, {out: 8, kernel: 1}]
    repeat: 2
    residual: true
    pool: max
  - {channels: [{out: 8, kind: depthwise}, {out: 16, kernel: 1}], residual: true}
  - channels: [{out: 16, kind: depthwise}, {out: 16, kernel: 1}]
    residual: true
    pool: max
  - {channels: [{out: 16, kind: depthwise}, {out: 24, kernel: 1}], residual: true}
  - {channels: [{out: 24, kind: depthwise}, {out: 24, kernel: 1}], residual: true}
head: {pool: global-average, linear: true}
dataset: mnist-5k
"""
"""3,394 parameters, 496,120 multiply-accumulates."""

WIDE: Final = """
name: wide
blocks:
  - {{channels: [{0}], pool: max}}
  - {{channels: [{0}, {0}], pool: max}}
  - {{channels: [{0}, {0}]}}
head: {{pool: global-average, linear: true}}
dataset: mnist-5k
"""

WIDTHS: Final = (8, 16, 32, 48, 64, 128, 256)
"""Channels of the wide networks."""
SIDE: Final = 2048
"""Of the matrices whose product a step is held against."""
SHARES: Final = ("name", "kind", "least_ms", "gflops", "product_gflops")

KINDS: Final = ("native", "plain", "compiled", "plain-bfloat16", "compiled-bfloat16")

SET_BY_TORCH: Final = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
"""What the other checkout did not know, and is not to be given by us."""

OTHER: Final = """
import itertools, sys
checkout, network, batch, threads = sys.argv[1:]
sys.path.insert(0, checkout)
import torch
from mnist_arch import State, load, load_split
from mnist_arch.step import CompiledStep, Pass
torch.set_num_threads(int(threads))
experiment = load(network).with_dataset("mnist-5k").experiment
training = load_split("mnist-5k", "train")
state = State.fresh(experiment, seed=0)
state.model.train()
step = CompiledStep(state, training, batch=int(batch))
step.compile()
epoch = Pass.next(state, len(training), batch=int(batch))
step.begin(epoch)
numbers = itertools.cycle(range(len(training) // int(batch)))
print("ready", flush=True)
for _ in sys.stdin:
    step(next(numbers))
    print("done", flush=True)
"""


def networks() -> dict[str, Experiment]:
    return {
        "s6": load("s6").with_dataset("mnist-5k").experiment,
        "separable": loads(SEPARABLE, source="separable").experiment,
        **{
            f"wide-{width}": loads(WIDE.format(width), source="wide").experiment for width in WIDTHS
        },
    }


def stepping(kind: str, experiment: Experiment, training: Split, threads: int) -> Call:
    """One more step of an epoch at each call, over and over."""
    state = State.fresh(experiment, seed=0)
    state.model.train()
    state.use_dropout_stream()
    batch = experiment.recipe.batch_size
    step: PlainStep
    kind, _, rest = kind.partition("-")
    precision: Precision = "bfloat16" if rest else "float32"
    if kind == "native":
        library = native_library(vectors_here())
        step = NativeStep(state, training, batch=batch, threads=threads, library=library)
    elif kind == "compiled":
        torch.set_num_threads(threads)
        compiled = CompiledStep(state, training, batch=batch, precision=precision)
        compiled.compile()
        step = compiled
    else:
        step = PlainStep(state, training, precision=precision)
    epoch = EpochPlan.next(state, len(training))
    step.begin(epoch)
    numbers = itertools.cycle(range(len(training) // batch))
    return lambda: step(next(numbers))


@contextlib.contextmanager
def other_step(checkout: Path, network: str, *, batch: int, threads: int) -> Iterator[Call]:
    """A compiled step of another checkout at each call."""
    environment = {name: it for name, it in os.environ.items() if name not in SET_BY_TORCH}
    arguments = [str(checkout.resolve()), network, str(batch), str(threads)]
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        asks, answers = process.stdin, process.stdout
        assert asks is not None
        assert answers is not None

        def answered() -> str:
            if not (line := answers.readline()):
                raise subprocess.CalledProcessError(process.wait(), process.args)
            return line

        def step() -> None:
            print("step", file=asks, flush=True)
            answered()

        answered()
        yield step


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--networks", nargs="+", default=["s6", "separable"])
    options.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 128])
    options.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options.add_argument("--kinds", choices=KINDS, nargs="+", default=KINDS[:3])
    options.add_argument("--other", type=Path, help="the checkout of c05f2a9")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--steps", type=int, default=6, help="of a block")
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    training, found = load_split("mnist-5k", "train"), []
    square, shares = torch.randn(SIDE, SIDE), []
    for name, batch, threads in itertools.product(given.networks, given.batch_sizes, given.threads):
        experiment = networks()[name]
        recipe = experiment.recipe.model_copy(update={"batch_size": batch})
        experiment = experiment.model_copy(update={"recipe": recipe})
        title = f"{name}, batch {batch}, threads {threads}"
        print(title, file=sys.stderr)
        torch._dynamo.reset()
        variants = {kind: stepping(kind, experiment, training, threads) for kind in given.kinds}
        with contextlib.ExitStack() as stack:
            if given.other is not None:
                asked = other_step(given.other, name, batch=batch, threads=threads)
                variants[f"compiled, {given.other.name}"] = stack.enter_context(asked)
            # Native steps have threads of their own; those of torch would take their cores.
            lever = Lever(title, variants, given.steps, threads={"native": 1})
            readings = measure(lever, rounds=given.rounds, threads=threads)
        found.append(readings)
        torch.set_num_threads(threads)
        product = product_gflops(square, square)
        macs = plan_network(experiment).macs
        for kind, milliseconds in readings.values.items():
            reached = step_gflops(1e3 * batch / min(milliseconds), macs=macs)
            shares.append((title, kind, min(milliseconds), reached, product))
    report = {
        **origin(),
        "vectors": vectors_here(),
        "steps": given.steps,
        "levers": [readings.report() for readings in found],
        "shares": [dict(zip(SHARES, share, strict=True)) for share in shares],
    }
    text = table(HEADINGS, [row for it in found for row in it.rows()]) + "\n"
    rows = [
        [name, kind, f"{ms:.2f}", f"{reached:.0f}", f"{product:.0f}", f"{reached / product:.0%}"]
        for name, kind, ms, reached, product in shares
    ]
    publish(text + table(["", "", "least ms", "GFLOP/s", "a product", ""], rows), report, given.out)


if __name__ == "__main__":
    main()
