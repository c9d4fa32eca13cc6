"""A sweep in a process of its own, which says what happens and can be killed.

python killable_sweep.py FILE OUT
> Began grid-1 0 0
> Epoch grid-1 0 1
> Finished grid-1 0
"""

from __future__ import annotations

import sys
from pathlib import Path

from small_sweep import COMMAND, ENGINE

from mnist_arch.sweeps.definition import load_sweep
from mnist_arch.sweeps.executors import Began, Epoch, Failed
from mnist_arch.sweeps.ledger import Ledger
from mnist_arch.sweeps.local import LocalExecutor
from mnist_arch.sweeps.planning import plan_sweep
from mnist_arch.sweeps.stages import StageBegan, run_sweep
from mnist_arch.sweeps.worker import Setting


def main(file: str, out: str) -> None:
    planned = plan_sweep(load_sweep(Path(file)), dataset="mnist-5k")
    ledger = Ledger(Path(out))
    executor = LocalExecutor(workers=2, setting=Setting(ENGINE, None, COMMAND))
    with ledger.lock(), executor:
        for event in run_sweep(planned, ledger, executor, retry_failed=True):
            if isinstance(event, StageBegan):
                continue
            said: object = ""
            match event:
                case Began():
                    said = event.epochs_done
                case Epoch():
                    said = event.record.epoch
                case Failed():
                    said = event.failure.reason
            trial = event.task.trial
            print(type(event).__name__, trial.arm.name, trial.seed, said, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
