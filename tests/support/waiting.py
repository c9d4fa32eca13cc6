"""Waits for what another process does, for so long that only what never comes is given up."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120
"""Seconds."""


def wait_until(happened: Callable[[], object]) -> None:
    """Returns as soon as a condition holds; TimeoutError where that never comes."""
    end = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing of the kind within {PATIENCE} s")
        time.sleep(0.05)
