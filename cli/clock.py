"""When this process started, as near as a module that is imported first can tell."""

from __future__ import annotations

import time

_START = time.perf_counter()


def seconds_since_start() -> float:
    """Seconds of the whole command so far, imports included."""
    return time.perf_counter() - _START
