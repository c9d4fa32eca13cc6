"""Limits of the control groups of Linux that this process is in: its own and all above it.

A container, a service and a batch job are such groups. A group may have no limit inside one that
has. Both versions are read, where they are mounted; elsewhere there are no limits.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path("/")

_MEMORY_FILES: Final = (
    ("memory.max", ""),
    ("memory.high", ""),  # beyond which processes all but stand still
    ("memory.limit_in_bytes", ""),
    ("memory.stat", "hierarchical_memory_limit"),  # also of groups that a container does not see
)
_UNLIMITED: Final = 2.0**60
"""Bytes from which a limit is none: version 1 has no other word for that."""


@dataclass(frozen=True)
class Limit:
    """What the processes of a group may use together, and what they have used."""

    name: str
    """The folder of the group."""
    most: float
    """CPUs, or bytes."""
    used: float | None
    """Seconds of CPU time so far, or bytes in use now that cannot be given back; None where that
    is not known."""


def cpu_limits(root: Path = ROOT) -> list[Limit]:
    """CPUs of each group that has such a limit, innermost first."""
    return [
        Limit(str(folder), cpus, _cpu_seconds(folder))
        for folder in _folders(root, "cpu")
        if (cpus := _cpus(folder)) is not None
    ]


def memory_limits(root: Path = ROOT) -> list[Limit]:
    """Bytes of each group that has such a limit, innermost first."""
    return [
        Limit(str(folder), most, _bytes_in_use(folder))
        for folder in _folders(root, "memory")
        for file, key in _MEMORY_FILES
        if (most := _number(folder / file, key)) is not None and most < _UNLIMITED
    ]


def _cpus(folder: Path) -> float | None:
    """A quota of CPU time by the period in which it may be used; None for a group without one."""
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    if words := _text(folder / "cpu.max").split():
        quota, period = _as_number(words[0]), _as_number(words[-1])
    return quota / period if quota and period and quota > 0 else None


def _cpu_seconds(folder: Path) -> float | None:
    if (microseconds := _number(folder / "cpu.stat", "usage_usec")) is not None:
        return microseconds / 1e6
    if (nanoseconds := _number(folder / "cpuacct.usage")) is not None:
        return nanoseconds / 1e9
    return None


def _bytes_in_use(folder: Path) -> float | None:
    """Without what was read from files, which the system drops where it needs the room."""
    for file, prefix in (("memory.current", ""), ("memory.usage_in_bytes", "total_")):
        if (used := _number(folder / file)) is not None:
            kinds = (f"{prefix}inactive_file", f"{prefix}active_file")
            return used - sum(_number(folder / "memory.stat", kind) or 0.0 for kind in kinds)
    return None


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Of the groups that this process is in, by the hierarchies that may have the controller."""
    for mounted, inside, kind, controllers in _mounts(root):
        if kind == "cgroup2":
            path = _path(root, "")
        elif kind == "cgroup" and controller in controllers:
            path = _path(root, controller)
        else:
            continue
        if path is None:
            continue
        # A container may see no more of the hierarchy than its own part, mounted as if it were all.
        part = path.relative_to(inside) if path.is_relative_to(inside) else PurePosixPath()
        if ".." in part.parts:  # the group is outside of what the container sees
            part = PurePosixPath()
        top = root / mounted.relative_to("/")
        for below in (part, *part.parents):
            yield top / below


def _mounts(root: Path) -> Iterator[tuple[PurePosixPath, PurePosixPath, str, list[str]]]:
    """Where file systems are mounted, which part of them, their kind, and their own options."""
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        with contextlib.suppress(ValueError):
            _, _, _, inside, mounted, *_ = map(_unescaped, before.split())
            kind, _, options = after.split(maxsplit=2)
            yield PurePosixPath(mounted), PurePosixPath(inside), kind, options.split(",")


def _path(root: Path, controller: str) -> PurePosixPath | None:
    """Of the group of this process in a hierarchy; that of version 2 has no controllers here."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        with contextlib.suppress(ValueError):
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                return PurePosixPath(path)
    return None


def _unescaped(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word)


def _number(path: Path, key: str = "") -> float | None:
    """The number in a file, or that behind a key in it; None where there is none."""
    for line in _text(path).splitlines():
        *before, value = line.split() or [""]
        if before == [key] * bool(key):
            return _as_number(value)
    return None


def _as_number(text: str) -> float | None:
    """None for `max`."""
    try:
        return float(text)
    except ValueError:
        return None


def _text(path: Path) -> str:
    """Empty where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
