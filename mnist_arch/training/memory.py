"""Memory that a training needs on a CPU, and whether a limit leaves it."""

from __future__ import annotations

from typing import Final

from mnist_arch.errors import OutOfMemory
from mnist_arch.machine.memory import Room

PROGRAM_BYTES: Final = 450_000_000
"""Of a process that trains or hands out trials, besides the maps of a batch: torch, MNIST, and what
drawing takes. Measured with torch 2.14; pages of files, which processes share, are left out."""

MAPS_KEPT: Final = 1.5
"""Bytes that a step keeps at a time for each byte that the layers of a batch take: at most 1.3
with batches of 256 and more, and a fixed part of smaller ones."""


def training_bytes(batch_bytes: int) -> float:
    """Of a process that trains, by what the layers of one batch take."""
    return PROGRAM_BYTES + MAPS_KEPT * batch_bytes


def check_memory(needed: float, room: Room | None, *, what: str) -> None:
    """Raises OutOfMemory where a limit leaves less than `what` needs at least, in bytes.

    The system would end a process that goes beyond it, and nobody could say why.
    """
    if room is None or needed <= room.bytes:
        return
    left = f"{gigabytes(room.bytes)} are {room.limit}"
    hint = "raise that limit; `summary()` works without"
    raise OutOfMemory(f"{what} needs {gigabytes(needed)} of memory, {left}", hint=hint)


def gigabytes(count: float) -> str:
    """Bytes, as text."""
    return f"{count / 1e9:.2f} GB"
