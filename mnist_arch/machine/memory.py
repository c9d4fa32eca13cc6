"""How much memory this process, and those that it starts, may have, and what limits that."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_arch.machine.cgroups import ROOT, memory_limits


@dataclass(frozen=True)
class Room:
    """Memory that others leave to this program."""

    bytes: float
    """With what the program has already."""
    limit: str
    """What it is that leaves no more."""


def room_in_memory(root: Path = ROOT) -> Room:
    """The least that the machine, a control group or a limit of the process leaves."""
    return min(_rooms(root), key=lambda room: room.bytes)


def room_under_limits(root: Path = ROOT) -> Room | None:
    """The least that a control group or a limit of the process leaves, beyond which nothing can be
    had; None where there is no such limit."""
    return min(_limited(root, _own()), key=lambda room: room.bytes, default=None)


def _rooms(root: Path) -> Iterator[Room]:
    import psutil

    own = _own()
    yield Room(psutil.virtual_memory().available + own, "free on this machine")
    yield from _limited(root, own)


def _own() -> float:
    """Bytes that this process has, without pages of files, which are counted by nobody here."""
    import psutil

    info: Any = psutil.Process().memory_info()
    return float(info.rss - getattr(info, "shared", 0))


def _limited(root: Path, own: float) -> Iterator[Room]:
    for limit in memory_limits(root):
        used = 0.0 if limit.used is None else max(0.0, limit.used - own)
        yield Room(limit.most - used, f"left by the limit of {limit.name}")
    # A limit of each process, by which batch systems say what all of a job may have.
    with contextlib.suppress(ImportError):  # there is no such module on Windows
        import resource

        for kind, name in ((resource.RLIMIT_AS, "v"), (resource.RLIMIT_DATA, "d")):
            most, _ = resource.getrlimit(kind)
            if most != resource.RLIM_INFINITY:
                yield Room(float(most), f"left by `ulimit -{name}`")


def be_ended_first(root: Path = ROOT) -> None:
    """Has the system end this process, where memory runs out, before the one that has started it,
    which can then say what has happened."""
    with contextlib.suppress(OSError):
        (root / "proc/self/oom_score_adj").write_text("500")  # of 1,000; anybody may raise it
