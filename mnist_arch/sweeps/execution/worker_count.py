"""How many processes train at a time on this machine: as many as CPUs and memory allow."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from mnist_arch.machine.cpus import usable_cpus
from mnist_arch.machine.memory import Room, room_in_memory
from mnist_arch.sweeps.planning import SweepPlan
from mnist_arch.training.memory import PROGRAM_BYTES, check_memory, gigabytes, training_bytes


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
        worker_bytes=training_bytes(plan.largest_batch_bytes),
    )


def check_room(
    plan: SweepPlan, room: Room | None, *, device: str, programs: int = 1, trials: int = 1
) -> None:
    """Raises OutOfMemory where a limit leaves no room for the command and a trial at a time.

    `programs` are the processes that hand out trials, `trials` those that train on this machine.
    """
    on_cpu = device in ("auto", "cpu")
    trial = training_bytes(plan.largest_batch_bytes if on_cpu else 0)
    what = "a sweep, with one trial at a time," if trials else "the command of a sweep"
    check_memory(programs * PROGRAM_BYTES + trials * trial, room, what=what)


def workers_that_fit(
    *, cpus: float, machine_cpus: int, threads: int, room: Room, worker_bytes: float
) -> WorkerCount:
    """At least one, whatever there is: a system may have more to give than it says."""
    by_cpus = max(1, math.ceil(cpus) // threads)
    by_memory = math.floor((room.bytes - PROGRAM_BYTES) / worker_bytes)
    if by_memory < by_cpus:
        each, starter = gigabytes(worker_bytes), gigabytes(PROGRAM_BYTES)
        need = f"each needs {each} and what starts them {starter}"
        reason = f"{gigabytes(room.bytes)} of memory are {room.limit}, {need}"
        return WorkerCount(max(1, by_memory), reason)
    if math.ceil(cpus) < machine_cpus:
        return WorkerCount(by_cpus, f"{cpus:g} of the machine's {machine_cpus} CPUs may be used")
    return WorkerCount(by_cpus)
