"""How many CPUs this process may use, and how many of them others leave free."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mnist_arch.machine.cgroups import ROOT, Limit, cpu_limits

LEAST_SECONDS: Final = 0.3
"""Of watching: the counters of the system go by hundredths of a second."""


def usable_cpus(root: Path = ROOT) -> float:
    """CPUs that this process may use: by its affinity, and by the quota of its control groups."""
    return min([float(len(_affinity())), *(limit.most for limit in cpu_limits(root))])


@dataclass(frozen=True)
class CpuCounters:
    """Counters at one moment, in seconds."""

    time: float
    own: float
    """CPU time of this process."""
    shared: dict[str, Limit]
    """By name: the machine, and each control group that has a limit."""


def read_counters(root: Path = ROOT) -> CpuCounters:
    """The counters of now."""
    limits = [_of_the_machine(), *cpu_limits(root)]
    shared = {limit.name: limit for limit in limits}
    return CpuCounters(time.monotonic(), time.process_time(), shared)


def free_cpus(before: CpuCounters, after: CpuCounters) -> float:
    """CPUs that others have left to this process between two readings, at least 0."""
    seconds = max(after.time - before.time, 1e-9)
    own = after.own - before.own
    free = []
    for name, limit in after.shared.items():
        used_before = before.shared[name].used if name in before.shared else None
        others = 0.0
        if limit.used is not None and used_before is not None:
            others = max(0.0, limit.used - used_before - own) / seconds
        free.append(limit.most - others)
    return max(0.0, min(free))


class Watch:
    """Sees what others leave free, from when it is made on."""

    def __init__(self) -> None:
        self.before = read_counters()

    def free_cpus(self) -> float:
        """CPUs that others have left free so far; waits until there is something to tell from."""
        left = self.before.time + LEAST_SECONDS - time.monotonic()
        if left > 0:
            time.sleep(left)
        return free_cpus(self.before, read_counters())


def _of_the_machine() -> Limit:
    """The CPUs that this process may run on, and how long they were busy since the system began."""
    import psutil

    cpus = _affinity()
    busy = [_busy(times) for cpu, times in enumerate(psutil.cpu_times(percpu=True)) if cpu in cpus]
    return Limit("this machine", float(len(cpus)), sum(busy))


def _busy(times: Any) -> float:
    """What a hypervisor has taken for itself counts, too: it is not free."""
    idle = times.idle + getattr(times, "iowait", 0.0)
    twice = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # in user and nice
    return float(sum(times) - idle - twice)


def _affinity() -> Collection[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)
