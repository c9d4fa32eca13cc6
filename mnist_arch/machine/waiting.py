"""How the threads of one operation wait for each other: awake for a moment, then asleep.

OpenMP reads this from the environment when it is loaded, which torch does. GNU's threads, which are
torch's on Linux, else spin for milliseconds at each of the hundreds of barriers of a step. Beside
another program that is a collapse: who spins keeps the core from the thread that it waits for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, MutableMapping
from functools import cache
from typing import Final

SPINS: Final = 4_000
"""Turns of GNU's loop before a thread sleeps: a tenth of a millisecond, which is what waking it
takes. So no wait costs more than twice what it has to, on an idle machine and on a busy one; see
docs/performance.md for the measurement."""

_ASLEEP: Final = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": str(SPINS)}
"""The first is for every OpenMP; the second goes before it where GNU's is."""

_SAYS_HOW: Final = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Whoever sets one of these has decided."""


def ask_to_sleep(environment: MutableMapping[str, str], loaded: Container[str]) -> bool:
    """Has threads sleep while they wait, in this process and in those that it starts.

    `loaded` are the names of modules that are imported. Returns whether that comes too late for
    this process: torch is one of them, and has read its environment. Then threads spin.
    """
    if any(name in environment for name in _SAYS_HOW):
        return False
    environment.update(_ASLEEP)
    return "torch" in loaded


@cache
def threads_spin() -> bool:
    """Whether threads of this process spin while they wait, which nobody has asked for.

    The first call, which is that of `import mnist_arch`, asks for the contrary.
    """
    return ask_to_sleep(os.environ, sys.modules)
