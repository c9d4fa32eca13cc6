"""What is tried in a fork of this process: all is there already, and whatever happens to it, this
process goes on."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Final, NoReturn

_NO_ANSWER: Final = 255
"""How a fork ends that has none."""

_LOOK_SECONDS: Final = 0.005
"""Between two looks at whether a fork has ended."""

_MORE_SECONDS: Final = 1
"""For which a fork that was to end by itself is waited for."""


def answer_of_fork(call: Callable[[], int], *, seconds: int) -> int | None:
    """What a call returns in a fork of this process, from 0 to 254; None where it has no answer.

    It has none where the call raises, does not return in time, or ends its process, and anywhere
    but on Linux. A fork has no other thread of this process, and what one of them held is held for
    ever, so that the call may wait in vain: that there is no answer says nothing of it.
    """
    if sys.platform != "linux":
        return None
    try:
        with warnings.catch_warnings():  # of threads, from Python 3.12 on
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
    except OSError:
        return None
    if child == 0:
        _answer(call, seconds)
    try:
        ended = os.waitstatus_to_exitcode(_status(child, seconds=seconds + _MORE_SECONDS))
    except ChildProcessError:  # where the ends of processes are ignored
        return None
    except BaseException:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it may just have ended
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        raise
    return ended if 0 <= ended < _NO_ANSWER else None


def _status(child: int, *, seconds: float) -> int:
    """How a fork has ended. It is ended where it cannot do so by itself: what others have asked for
    in each fork may wait for ever, before there is an alarm, or signals may be blocked."""
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        time.sleep(_LOOK_SECONDS)


def _answer(call: Callable[[], int], seconds: int) -> NoReturn:
    """Ends this fork, silently and in time, also where its parent has ended. What was its parent's
    to do at an end is not done."""
    ended = _NO_ANSWER
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        gc.disable()
        faulthandler.disable()
        sys.stdout = sys.stderr = nowhere = open(os.devnull, "w")
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
        ended = call()
    finally:
        os._exit(ended)
