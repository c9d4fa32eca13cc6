"""The terminal of mnist-arch: commands, tables, live displays and exit codes."""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnist_arch.verbs.display import Caller

STARTED = time.perf_counter()
"""When this process started, as near as the module that is imported first can tell, in seconds."""


def command_line() -> list[str]:
    """What was typed, as text that any file can hold."""
    from mnist_arch.files import shown

    return ["mnist-arch", *map(shown, sys.argv[1:])]


def caller() -> Caller:
    """Who asks, for the files that say so."""
    from mnist_arch.verbs.display import Caller

    return Caller(command_line(), lambda: time.perf_counter() - STARTED)


@contextlib.contextmanager
def heavy_imports() -> Iterator[None]:
    """Collects no garbage while much is imported, all of which would be looked through each time.

    What is there at the end stays, and later collections leave it out, too.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
