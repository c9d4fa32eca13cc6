"""A library of the native engine, tried before it is trusted: a step compared with torch's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mnist_arch.native.library import NoLibrary

SECONDS: Final = 120
"""After which the trial of a library is given up."""

IMAGES: Final = 37
"""Which fill no vector evenly."""

_PROGRAM: Final = f"""
import sys
from collections.abc import Callable
from pathlib import Path
import mnist_arch.training.native
from {__name__} import trouble_here
if sys.stdin.readline():
    print(trouble_here(Path(sys.argv[1])))
"""
"""It imports torch, and waits for a line before it looks at the library."""

_NETWORK: Final = """
name: trial
blocks:
  - {channels: [6, 8], pool: max, reduce: 6, dropout: 0.1}
  - {channels: [8, {out: 8, kind: depthwise}], residual: true, pool: average}
  - {channels: [{out: 8, stride: 2}], order: conv-norm-activation, squeeze_excitation: 2}
  - {channels: [8], norm: group, activation: silu, kernel: 5}
  - branches: [[4], {channels: [{out: 4, kernel: [3, 2]}], norm: layer, padding: same-end}, []]
    pool: {kind: max, size: 3, stride: 2, padding: 1, norm: {splits: 2}}
  - {branches: [[6], {channels: [6], activation: prelu}], join: add}
head: {pool: global-average, linear: true}
recipe: {batch_size: 37, ema: 0.9}
dataset: mnist-5k
"""
"""Something of every operation."""


def check(library: Path, make: Callable[[], object]) -> str:
    """Has a library made, and says what is wrong with it, in a line, or nothing.

    It is tried in a process of its own, which it may end, and which starts before it is made.
    Raises NoLibrary where it cannot be tried, and what `make` raises.
    """
    call = [sys.executable, "-c", _PROGRAM, str(library)]
    paths = os.pathsep.join(filter(None, sys.path))
    pipe = subprocess.PIPE
    try:
        trial = subprocess.Popen(
            call,
            env={**os.environ, "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": ""},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
    except OSError as error:
        raise NoLibrary(f"the library cannot be tried: {type(error).__name__}") from None
    with trial:
        try:
            make()
            printed, errors = trial.communicate("try it\n", timeout=SECONDS)
        except subprocess.TimeoutExpired:
            trial.kill()
            raise NoLibrary("the library cannot be tried: TimeoutExpired") from None
        except BaseException:
            trial.kill()
            raise
    if trial.returncode < 0:
        return f"the library ends a process by {signal.Signals(-trial.returncode).name}"
    if trial.returncode > 0:
        last = (errors.strip() or "no message").splitlines()[-1]
        raise NoLibrary(f"the library cannot be tried: {last}")
    return printed.strip()


def trouble_here(library: Path) -> str:
    """The same, in this process."""
    import torch

    from mnist_arch.data.split import Split
    from mnist_arch.native.library import load
    from mnist_arch.spec.loading import loads
    from mnist_arch.training.native import NativeStep
    from mnist_arch.training.self_check import outcome, tolerance, trouble_of
    from mnist_arch.training.state import State
    from mnist_arch.training.step import PlainStep

    loaded = load(library)
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (IMAGES, 1, 28, 28), generator=rng, dtype=torch.uint8)
    training = Split(images, torch.arange(IMAGES) % 10, "train", source="noise")
    experiment = loads(_NETWORK, source="trial").experiment
    state = State.fresh(experiment, seed=0)
    plain = PlainStep(state, training)
    native = NativeStep(state, training, batch=IMAGES, threads=2, library=loaded)
    found, expected = (outcome(step, images=IMAGES) for step in (native, plain))
    return trouble_of(found, expected, tolerance(experiment.recipe, "float32"))
