"""A process that trains in children of its own, which are killed at a moment that is asked for.

    python killable.py
    < {"parent": "runs", "kill": ["replace", "checkpoint", 2]}
    > {"killed": true, "epochs_done": 1, "seconds": 0.4}

Importing torch takes seconds, so it is imported once, and each child is a fork. That is safe as
long as this process has one thread and leaves all computing to its children.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import small

from mnist_arch.runs import execute as running
from mnist_arch.runs.events import Started
from mnist_arch.runs.execute import run_experiment
from mnist_arch.runs.folder import Run
from mnist_arch.training import step as step
from mnist_arch.training.engine import Engine

COUNTED = small.counted(
    recipe__epochs=4,
    recipe__batch_size=20,
    recipe__augment={"elastic": {"pixels": 0.5}, "erase": {"probability": 0.3}},
)
STEPS = 10
"""Of an epoch."""
SEED = 3

# What a training imports on its way, which takes longer than the training.
importlib.import_module("matplotlib.backends.backend_agg")


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Trains in a child, which dies as asked for or ends."""
    reader, writer = os.pipe()
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.close(reader)
        train(Path(request["parent"]), request["kill"], writer)
    os.close(writer)
    kind, *details = request["kill"] or ["never"]
    if kind == "after":
        time.sleep(details[0])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader) as file:
        said = file.read()
    return {
        "killed": os.WIFSIGNALED(status),
        "exit": None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status),
        "epochs_done": json.loads(said) if said else None,
        "seconds": time.perf_counter() - start,
    }


def train(parent: Path, kill: list[Any] | None, writer: int) -> NoReturn:
    """What a child does; it never returns."""
    try:
        training_images, judged_on = (
            small.synthetic(STEPS * 20 + 7, seed=1),
            small.synthetic(50, seed=2),
        )
        if kill is not None:
            arm(*kill)
        for event in run_experiment(
            COUNTED,
            small.images_of(training_images, judged_on),
            run=Run(parent / COUNTED.folder_name(SEED)),
            seed=SEED,
            engine=Engine(device="cpu", threads=1),
            command=["test"],
            command_seconds=lambda: 0.0,
        ):
            if isinstance(event, Started):
                os.write(writer, str(event.epochs_done).encode())
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kind: str, *details: Any) -> None:
    """Sets the moment of death: counts are from 1, of what this process does."""
    match kind, *details:
        case "step", count:  # between the step of the optimizer and that of the average
            step.update_average = at(count, step.update_average)
        case "line", count:  # half of a line of the metrics is written
            running.Run.append_metrics = at(count, Run.append_metrics, first=half_a_line)  # type: ignore[method-assign]
        case "record", count:  # the line is written, the checkpoint is not
            running.save_checkpoint = at(count, running.save_checkpoint)
        case "replace", name, count:  # the new file is written, but has not its name yet
            os.replace = on(name, at(count, os.replace))
        case "replaced", name, count:
            os.replace = on(name, at(count, os.replace, first=os.replace))


def at(
    count: int, function: Callable[..., Any], *, first: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Dies at the call number `count`, after doing `first`."""
    calls = [0]

    @functools.wraps(function)
    def guarded(*args: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == count:
            if first is not None:
                first(*args, **options)
            die()
        return function(*args, **options)

    return guarded


def on(name: str, function: Callable[..., Any], *, other: Callable[..., Any] = os.replace) -> Any:
    """`function` where a file of this name is replaced."""
    return lambda source, target: (function if Path(target).name == name else other)(source, target)


def half_a_line(run: Run, record: dict[str, Any]) -> None:
    line = json.dumps(record, sort_keys=True)
    with run.metrics_path.open("a") as file:
        file.write(line[: len(line) // 2])


if __name__ == "__main__":
    main()
