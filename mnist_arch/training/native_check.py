"""A library of the native engine, tried before it is trusted: a step compared with torch's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from enum import IntEnum
from pathlib import Path
from typing import Final

from mnist_arch.machine.forking import answer_of_fork
from mnist_arch.native.compiling import NoLibrary
from mnist_arch.native.library import load

SECONDS: Final = 120
"""After which the trial of a library is given up."""

FORK_SECONDS: Final = 3
"""After which a fork is, which needs a fifth of a second, unless another thread of this process was
at work in torch when it was made."""

IMAGES: Final = 37
"""Which fill no vector evenly."""

_TRIED: Final = "tried:"

_PROGRAM: Final = f"""
import sys
from pathlib import Path
from {__name__} import trouble_here
print("{_TRIED}", trouble_here(Path(sys.argv[1])))
"""

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


def check(library: Path) -> str:
    """What is wrong with a library, in a line, or nothing.

    It is tried in another process, which it may end. On Linux that is a fork of this one, which has
    torch already. A fork is taken at its word where the library is right, or does not load; of all
    else a process that starts anew has to say what it is, since a fork may have trouble of its own.
    Raises NoLibrary where the library does not load, or cannot be tried.
    """
    import mnist_arch.training.native  # noqa: F401 - once, and not in a fork alone

    match answer_of_fork(lambda: _answer(library), seconds=FORK_SECONDS):
        case _Answer.RIGHT:
            return ""
        case _Answer.NOT_LOADED:
            load(library)  # to say why
    return _trouble_in_new_process(library)


class _Answer(IntEnum):
    """Of a fork."""

    RIGHT = 0
    WRONG = 1
    NOT_LOADED = 2


def _answer(library: Path) -> int:
    try:
        return _Answer.WRONG if trouble_here(library) else _Answer.RIGHT
    except NoLibrary:
        return _Answer.NOT_LOADED


def _trouble_in_new_process(library: Path) -> str:
    """Raises NoLibrary where a library cannot be tried."""
    paths = os.pathsep.join(filter(None, sys.path))
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(library)],
            env={**os.environ, "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoLibrary(f"the library cannot be tried: {type(error).__name__}") from None
    if trial.returncode < 0:
        return f"the library ends a process by {signal.Signals(-trial.returncode).name}"
    if trial.returncode > 0 or not trial.stdout.startswith(_TRIED):
        last = (trial.stderr.strip() or "no message").splitlines()[-1]
        raise NoLibrary(f"the library cannot be tried: {last}")
    return trial.stdout.removeprefix(_TRIED).strip()


def trouble_here(library: Path) -> str:
    """The same, in this process. Raises NoLibrary where the library does not load."""
    import torch

    from mnist_arch.data.split import Split
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
