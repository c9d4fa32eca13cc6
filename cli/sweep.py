"""`mnist-arch sweep`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.options import DataDir, Device, DeviceOption, Out
from mnist_arch.sweeps.definition import load_sweep


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file of the sweep.")],
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Trials at a time.", min=1)
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset; the file's unless given.")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of every trial; the file's unless given.")
    ] = None,
    data_dir: DataDir = None,
    device: DeviceOption = Device.AUTO,
    out: Out = Path("runs"),
) -> None:
    """Train and compare the experiments of a file."""
    definition = load_sweep(file, dataset=dataset, epochs=epochs)
    from mnist_arch.data import resolve_dataset
    from mnist_arch.records import Engine
    from mnist_arch.running import resolve_device
    from mnist_arch.sweeps.driving import Queue, run_trials
    from mnist_arch.sweeps.executors import Epoch, default_workers
    from mnist_arch.sweeps.ledger import Ledger
    from mnist_arch.sweeps.local import LocalExecutor
    from mnist_arch.sweeps.planning import plan_sweep
    from mnist_arch.sweeps.worker import Setting

    resolved = resolve_dataset(definition.sweep.dataset, data_dir=data_dir)
    planned = plan_sweep(definition, dataset=resolved.name)
    ledger = Ledger(out / definition.sweep.name)
    engine = Engine(device=resolve_device(device), threads=1)
    setting = Setting(engine, data_dir, ["mnist-arch", *sys.argv[1:]])
    count = workers or default_workers(engine.device)
    with ledger.lock(), LocalExecutor(workers=count, setting=setting) as executor:
        for event in run_trials(planned, ledger, Queue(planned.trials(), ledger), executor):
            line = f"{event.task.trial.arm.name} s{event.task.trial.seed}: {type(event).__name__}"
            if isinstance(event, Epoch):
                line += f" {event.record.epoch} {event.record.accuracy_percent:.2f} %"
            typer.echo(line, err=True)
