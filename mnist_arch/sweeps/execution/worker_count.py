"""How many processes train at a time on this machine: as many as CPUs and memory allow."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Final

from mnist_arch.machine.cpus import usable_cpus
from mnist_arch.machine.memory import Room, room_in_memory
from mnist_arch.sweeps.planning import SweepPlan

PROGRAM_BYTES: Final = 450_000_000
"""Of a process that trains or hands out trials, beside the maps of a batch: torch, MNIST, and what
drawing takes. Measured with torch 2.14; pages of files, which processes share, are left out."""

MAPS_KEPT: Final = 1.5
"""Bytes that a step keeps at a time for each byte that the layers of a batch come to: at most 1.3
with batches of 256 and more, and a fixed part of smaller ones."""


@dataclass(frozen=True)
class WorkerCount:
    """How many workers, and why there are no more of them than the machine has CPUs for."""

    workers: int
    reason: str = ""


def choose_workers(plan: SweepPlan, *, device: str, threads: int) -> WorkerCount:
    """For a sweep on `device`, each of whose trials takes so many threads; 1 on a GPU, which one
    trial fills."""
    if device not in ("auto", "cpu"):
        return WorkerCount(1)
    return workers_that_fit(
        cpus=usable_cpus(),
        machine_cpus=os.cpu_count() or 1,
        threads=threads,
        room=room_in_memory(),
        worker_bytes=PROGRAM_BYTES + MAPS_KEPT * plan.largest_batch_bytes,
    )


def workers_that_fit(
    *, cpus: float, machine_cpus: int, threads: int, room: Room, worker_bytes: float
) -> WorkerCount:
    """At least one, whatever there is: a system may have more to give than it says."""
    by_cpus = max(1, math.ceil(cpus) // threads)
    by_memory = math.floor((room.bytes - PROGRAM_BYTES) / worker_bytes)
    if by_memory < by_cpus:
        need = f"each needs {_gb(worker_bytes)} and what starts them {_gb(PROGRAM_BYTES)}"
        return WorkerCount(
            max(1, by_memory), f"{_gb(room.bytes)} of memory are {room.limit}, {need}"
        )
    if math.ceil(cpus) < machine_cpus:
        return WorkerCount(by_cpus, f"{cpus:g} of the machine's {machine_cpus} CPUs may be used")
    return WorkerCount(by_cpus)


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
