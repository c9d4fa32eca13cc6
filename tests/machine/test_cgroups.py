"""Limits of control groups, of both versions, from files as Linux has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnist_arch.machine.cgroups import Limit, cpu_limits, memory_limits

V2 = "30 23 0:26 {inside} /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = (
    "32 31 0:29 {inside} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 {inside} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
)
NO_LIMIT = "9223372036854771712"


def system(root: Path, *, mounts: str, groups: str, files: dict[str, str]) -> Path:
    """A root with what is mounted, the groups of this process, and files below /sys/fs/cgroup."""
    for name, text in {
        "proc/self/mountinfo": mounts,
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def folder(root: Path, name: str) -> str:
    return str(root / "sys/fs/cgroup" / name)


def test_version_2_with_the_limit_of_a_parent(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        mounts=V2.format(inside="/"),
        groups="0::/job/step",
        files={
            "job/step/memory.max": "max",
            "job/step/cpu.max": "max 100000",
            "job/memory.max": "900000000",
            "job/memory.current": "500000000",
            "job/memory.stat": "anon 1\ninactive_file 100000000\nactive_file 50000000",
            "job/cpu.max": "150000 100000",
            "job/cpu.stat": "usage_usec 2500000\nuser_usec 1",
        },
    )
    job = folder(root, "job")
    assert memory_limits(root) == [Limit(job, 900e6, 350e6)]
    assert cpu_limits(root) == [Limit(job, 1.5, 2.5)]


def test_version_1_with_the_limit_of_a_parent(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        mounts=V1.format(inside="/"),
        groups="4:memory:/job/step\n1:cpu,cpuacct:/job",
        files={
            "memory/job/step/memory.limit_in_bytes": NO_LIMIT,
            "memory/job/memory.limit_in_bytes": "900000000",
            "memory/job/memory.usage_in_bytes": "500000000",
            "memory/job/memory.stat": "total_inactive_file 100000000\ntotal_active_file 0",
            "cpu,cpuacct/job/cpu.cfs_quota_us": "200000",
            "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            "cpu,cpuacct/job/cpuacct.usage": "3000000000",
            "cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
    )
    assert memory_limits(root) == [Limit(folder(root, "memory/job"), 900e6, 400e6)]
    assert cpu_limits(root) == [Limit(folder(root, "cpu,cpuacct/job"), 2.0, 3.0)]


def test_a_container_sees_its_own_part_as_the_whole(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        mounts=V1.format(inside="/docker/ab12"),
        groups="4:memory:/docker/ab12\n1:cpu,cpuacct:/docker/ab12",
        files={
            "memory/memory.limit_in_bytes": NO_LIMIT,
            "memory/memory.stat": "hierarchical_memory_limit 700000000",  # of what it does not see
        },
    )
    assert memory_limits(root) == [Limit(folder(root, "memory"), 700e6, None)]


@pytest.mark.parametrize("groups", ["", "0::/../elsewhere", "nonsense", "0::/gone"])
@pytest.mark.parametrize("mounts", ["", "a line of nothing", V2.format(inside="/")])
def test_where_nothing_is_to_be_read_there_are_no_limits(
    tmp_path: Path, groups: str, mounts: str
) -> None:
    root = system(tmp_path, mounts=mounts, groups=groups, files={"job/memory.max": "1"})
    assert memory_limits(root) == cpu_limits(root) == []
    assert memory_limits(tmp_path / "nowhere") == []


def test_the_files_of_this_machine_can_be_read() -> None:
    assert all(limit.most > 0 for limit in (*memory_limits(), *cpu_limits()))
