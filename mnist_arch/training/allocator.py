"""What becomes of memory that is freed: kept for the next step, or given back to the system."""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Final

LARGEST_KEPT_BYTES: Final = 16 * 2**20
"""Of a block of memory. The maps of s6 have 13 MB or less up to 128 images a batch; those of larger
batches would leave holes between them that no other map fits into, which costs more memory than
clearing their pages costs time."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, in malloc.h


def keep_freed() -> None:
    """Has glibc keep what is freed for what comes next, instead of giving it back to the system.

    By default the maps of a step, megabytes each, are mapped and their pages cleared again each
    time. Holds for the whole process; does nothing where the C library is another one.
    """
    if (mallopt := _of_glibc("mallopt")) is not None:
        mallopt(_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed() -> None:
    """Gives back what was kept so far, before work that needs memory of other sizes."""
    if (malloc_trim := _of_glibc("malloc_trim")) is not None:
        malloc_trim(0)


def _of_glibc(name: str) -> Any:
    """A function of the C library; None where it has none of that name."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)
