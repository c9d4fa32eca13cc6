"""A process that runs sweeps in children of its own, which can be killed.

    python killable_sweep.py
    < {"folder": "sweep", "spawn": false}
    > 4711                                    the driver's process, in the folder sweep/
    > -9                                      its exit code

A driver says what happens to the pipe `events` in its folder: `EpochRecord grid-1 0 2`. To import
torch takes seconds, so it is imported once, and drivers and their workers are forks; that is safe
as long as a process that forks has one thread and leaves all computing to its children. With
`spawn` the workers are fresh interpreters, as they are in earnest.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from small_sweep import COMMAND, ENGINE

from mnist_arch.runs import finished
from mnist_arch.runs.events import Started
from mnist_arch.sweeps.execution import local
from mnist_arch.sweeps.execution.local import LocalExecutor
from mnist_arch.sweeps.execution.worker import Setting
from mnist_arch.sweeps.ledger import Failure, Ledger
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import plan_sweep
from mnist_arch.sweeps.stages import StageBegan, run_sweep
from mnist_arch.training.events import EpochRecord

# What a training imports on its way, which takes longer than the training.
importlib.import_module("matplotlib.backends.backend_agg")

finished.draw_curves = lambda *_, **__: b""  # takes longer than training, and is tested elsewhere
FORK = multiprocessing.get_context("fork")


class Worker(FORK.Process):  # type: ignore[name-defined,misc]
    """A fork that has of its driver only what a fresh interpreter would be given."""

    def run(self) -> None:
        kept = {0, 1, 2, self._args[0].fileno()}
        for number in [int(name) for name in os.listdir("/proc/self/fd")]:
            if number not in kept:
                try:
                    os.close(number)
                except OSError:  # that of the listing itself
                    continue
        super().run()


class Forks:
    """A context of `multiprocessing`."""

    Pipe = staticmethod(FORK.Pipe)
    Process = Worker


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        driver = os.fork()
        if driver == 0:
            drive(Path(request["folder"]), spawn=request["spawn"])
        print(driver, flush=True)
        _, status = os.waitpid(driver, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def drive(folder: Path, *, spawn: bool) -> NoReturn:
    """What a driver does; it never returns."""
    try:
        events: Any = (folder / "events").open("w")
        os.dup2(events.fileno(), 1)  # so that workers have it, too, as they have a terminal
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if not spawn:
            local.multiprocessing.get_context = lambda _: Forks  # type: ignore[assignment]
        plan = plan_sweep(load_sweep(folder / "small.yaml"), dataset="mnist-5k")
        ledger = Ledger(folder / "sweep")
        executor = LocalExecutor(workers=2, setting=Setting(ENGINE, None, COMMAND))
        with ledger.lock(), executor:
            for event in run_sweep(plan, ledger, executor, retry_failed=True):
                if not isinstance(event, StageBegan):
                    trial = event.task.trial
                    words = (type(event.what).__name__, trial.arm.name, trial.seed, said(event))
                    print(*words, file=events, flush=True)
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def said(event: Any) -> object:
    match getattr(event, "what", None):
        case Started(epochs_done=epochs):
            return epochs
        case EpochRecord(epoch=epoch):
            return epoch
        case Failure(reason=reason):
            return reason
    return ""


if __name__ == "__main__":
    main()
