"""What a report of a fault needs to know of this machine: versions, device, engine, data."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from mnist_arch.data.folders import on_disk
from mnist_arch.errors import MnistArchError

_PACKAGES: Final = ("torch", "torchvision", "numpy", "pydantic", "typer", "rich", "optuna", "ray")


def about(data_dir: Path | None = None) -> dict[str, str]:
    """A line of text for each subject. It imports torch; nothing is built and nothing downloaded.

    What cannot be found out here is said in its line, since that may be the fault.
    """
    lines = {
        "mnist-arch": metadata.version("mnist-arch"),
        "python": f"{platform.python_version()} ({sys.platform}, {platform.machine()})",
    }
    lines |= {name: _version(name) for name in _PACKAGES}
    try:
        lines |= _training()
    except (ImportError, OSError, MnistArchError) as error:  # a torch that does not load
        lines["engine"] = f"not available: {error}"
    lines["data"] = _data(data_dir)
    return lines


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _training() -> dict[str, str]:
    from mnist_arch.counting.counted import count
    from mnist_arch.machine.cpus import usable_cpus
    from mnist_arch.native.library import vectors_here
    from mnist_arch.spec.loading import load
    from mnist_arch.training.engine_choice import choose_engine, resolve_device, threads_here

    counted = count(load("s6"))
    batch = counted.experiment.recipe.batch_size
    device = resolve_device("auto")
    threads = threads_here(macs=counted.plan.macs, batch=batch).threads
    choice = choose_engine(device=device, threads=threads)
    note = "" if choice.note is None else f" ({choice.note})"
    return {
        "device": f"{device}, {vectors_here()} vectors, {usable_cpus():g} of {os.cpu_count()} CPUs",
        "threads": f"{threads} for s6 now",
        "engine": f"{choice.engine.step} steps in {choice.engine.precision} for s6{note}",
    }


def _data(data_dir: Path | None) -> str:
    try:
        return "MNIST is found" if on_disk("mnist", data_dir) else "MNIST is not on this machine"
    except MnistArchError as error:
        return f"not available: {error}"
