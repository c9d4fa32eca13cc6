"""CPUs that others leave free, by counters at two moments; and how threads wait."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mnist_arch.machine.cgroups import Limit
from mnist_arch.machine.cpus import CpuCounters, Watch, free_cpus, usable_cpus
from mnist_arch.machine.waiting import ask_to_sleep


def reading(time: float, own: float, **used: float | None) -> CpuCounters:
    most = {"machine": 4.0, "group": 1.5}
    return CpuCounters(time, own, {name: Limit(name, most[name], it) for name, it in used.items()})


@pytest.mark.parametrize(
    ("used", "free"),
    [
        ({"machine": 100.0}, 4.0),
        ({"machine": 102.0}, 4.0),  # its own
        ({"machine": 104.0}, 3.0),
        ({"machine": 120.0}, 0.0),
        ({"machine": 102.0, "group": 12.0}, 1.5),
        ({"machine": 104.0, "group": 14.0}, 0.5),
        ({"machine": 104.0, "group": None}, 1.5),
    ],
)
def test_what_others_use_is_not_free(used: dict[str, float | None], free: float) -> None:
    before = reading(10.0, 1.0, machine=100.0, group=10.0)
    assert free_cpus(before, reading(12.0, 3.0, **used)) == pytest.approx(free)


@pytest.mark.slow
def test_a_watch_tells_at_once() -> None:
    assert 0 <= Watch().free_cpus() <= usable_cpus()


def test_threads_are_asked_to_sleep_before_torch_is_there() -> None:
    environment: dict[str, str] = {}
    assert not ask_to_sleep(environment, {"numpy"})
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert int(environment["GOMP_SPINCOUNT"]) > 0
    assert ask_to_sleep({}, {"torch"})


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_a_user_has_set_stays(name: str) -> None:
    environment = {name: "7"}
    assert not ask_to_sleep(environment, {"torch"})
    assert environment == {name: "7"}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["mnist_arch", "mnist_arch_cli.app", "mnist_arch.sweeps"])
def test_importing_any_part_asks(module: str) -> None:
    script = f"import os, {module}; print(os.environ['OMP_WAIT_POLICY'])"
    said = subprocess.check_output([sys.executable, "-c", script], text=True, env={})
    assert said == "PASSIVE\n"
