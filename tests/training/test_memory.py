"""A limit of memory that is too small is refused; the system would end the program for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_sweeps import planned

from mnist_arch.errors import FailureKind, OutOfMemory
from mnist_arch.machine.cgroups import memory_limits
from mnist_arch.machine.memory import Room, room_under_limits
from mnist_arch.sweeps.execution.worker_count import check_room
from mnist_arch.training.memory import PROGRAM_BYTES, check_memory, training_bytes

MEMORY = Path("/sys/fs/cgroup/memory")
SMALL = 300_000_000


def left(count: float) -> Room:
    return Room(count, "left by a limit")


@pytest.mark.parametrize("room", [None, left(600e6), left(500e6)])
def test_what_is_enough_is_not_refused(room: Room | None) -> None:
    check_memory(500e6, room, what="a training")


def test_a_training_without_room_is_refused() -> None:
    with pytest.raises(OutOfMemory) as caught:
        check_memory(training_bytes(46_000_000), left(499_999_999), what="a training")
    message = "a training needs 0.52 GB of memory, 0.50 GB are left by a limit"
    assert str(caught.value) == message
    assert caught.value.hint == "raise that limit; `summary()` works without"
    assert caught.value.kind is FailureKind.MEMORY
    assert caught.value.kind.exit_code == 3


@pytest.mark.parametrize(
    ("programs", "trials", "device", "least"),
    [
        (1, 1, "cpu", 2 * PROGRAM_BYTES),
        (1, 1, "cuda", 2 * PROGRAM_BYTES),
        (2, 1, "auto", 3 * PROGRAM_BYTES),
        (2, 0, "auto", 2 * PROGRAM_BYTES),  # the trials are trained elsewhere
    ],
)
def test_a_sweep_needs_room_for_one_trial_at_a_time(
    tmp_path: Path, programs: int, trials: int, device: str, least: int
) -> None:
    plan = planned(tmp_path, {"name": "a"})
    maps = 1.5 * plan.largest_batch_bytes if device != "cuda" and trials else 0
    enough = left(least + maps)
    check_room(plan, enough, device=device, programs=programs, trials=trials)
    check_room(plan, None, device=device, programs=programs, trials=trials)
    less = left(least + maps - 1)
    with pytest.raises(OutOfMemory, match="sweep"):
        check_room(plan, less, device=device, programs=programs, trials=trials)


def test_only_a_limit_is_refused_and_not_what_is_free_just_now(tmp_path: Path) -> None:
    """A machine may have more to give than it says."""
    pytest.importorskip("resource")
    assert not memory_limits(tmp_path)
    room = room_under_limits(tmp_path)
    assert room is None or room.limit.startswith("left by `ulimit")


# -------------------------------------------------------------------- the program, under a limit


def ends(*arguments: str, folder: Path, start: str = "") -> tuple[int, str]:
    """Exit code and stderr of a command in a new process, which begins with a piece of Python."""
    main = f"{start}\nfrom mnist_arch_cli.app import app; app(prog_name='mnist-arch')"
    command = [sys.executable, "-c", main, *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return result.returncode, result.stderr


COMMANDS = (
    "train --dry-run",
    "sweep tiny.yaml --json",
    "sweep tiny.yaml --executor ray --json",
)


def refused_under(limit: str, *, folder: Path, start: str) -> None:
    (folder / "tiny.yaml").write_text("grid: {defaults.dropout: [0, 0.1]}\n")
    for command in COMMANDS:
        if "ray" in command:
            pytest.importorskip("ray", reason="needs the extra ray")
        code, said = ends(*command.split(), folder=folder, start=start)
        assert code == 3, (command, said)
        assert "needs" in said
        assert limit in said
    code, said = ends("summary", folder=folder, start=start)
    assert (code, said) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.yaml"]


@pytest.mark.slow
def test_a_limit_of_the_process(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    start = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({SMALL}, {SMALL}))"
    refused_under("0.30 GB are left by `ulimit -d`", folder=tmp_path, start=start)


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group of version 1 with a limit, which only root can make."""
    group = MEMORY / f"mnist-arch-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(SMALL))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield group
    group.rmdir()


@pytest.mark.slow
def test_a_limit_of_a_control_group(tmp_path: Path, small_group: Path) -> None:
    start = f"import os; open({str(small_group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
    refused_under(f"left by the limit of {small_group}", folder=tmp_path, start=start)
