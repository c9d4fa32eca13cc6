"""Workers by CPUs and by memory, at least one, and why there are no more."""

from __future__ import annotations

import pytest

from mnist_arch.machine.memory import Room, room_in_memory
from mnist_arch.sweeps.execution.worker_count import workers_that_fit


@pytest.mark.parametrize(
    ("cpus", "threads", "gigabytes", "workers", "reason"),
    [
        (4.0, 1, 16.0, 4, ""),
        (4.0, 2, 16.0, 2, ""),
        (4.0, 8, 16.0, 1, ""),
        (4.0, 1, 0.9, 1, "0.90 GB of memory are left by a limit, each needs 0.50 GB and"),
        (4.0, 1, 1.5, 2, "1.50 GB of memory"),
        (4.0, 1, 0.1, 1, "0.10 GB of memory"),
        (1.5, 1, 16.0, 2, "1.5 of the machine's 4 CPUs may be used"),
    ],
)
def test_workers(cpus: float, threads: int, gigabytes: float, workers: int, reason: str) -> None:
    found = workers_that_fit(
        cpus=cpus,
        machine_cpus=4,
        threads=threads,
        room=Room(gigabytes * 1e9, "left by a limit"),
        worker_bytes=0.5e9,
    )
    assert found.workers == workers
    assert found.reason.startswith(reason)
    assert bool(found.reason) == bool(reason)


def test_there_is_room_here() -> None:
    assert room_in_memory().bytes > 1e8


def test_a_limit_of_the_process_counts() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**40, before[1]))
    try:
        names = {room_in_memory().limit}
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert names != {"left by `ulimit -v`"}  # it is more than the machine has
