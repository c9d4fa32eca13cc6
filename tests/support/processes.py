"""The processes below one, which may end at any moment, also while they are asked for."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from typing import Any

import psutil


def living(parent: psutil.Process, *, of: str) -> list[psutil.Process]:
    """The processes below `parent` with these letters in their command line, that live."""
    found = []
    for process in parent.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if of in " ".join(process.cmdline()):
                found.append(process)
    return found


def send(number: signal.Signals, *to: psutil.Process) -> None:
    """Sends a signal to those of these processes that have not ended."""
    for process in to:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def end(process: subprocess.Popen[Any]) -> None:
    """Kills a process and all below it, of which any would keep its pipes open."""
    process.send_signal(signal.SIGSTOP)  # so that it starts no others
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    send(signal.SIGKILL, *below)
    process.communicate()
