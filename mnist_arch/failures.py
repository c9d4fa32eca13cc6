"""What an error is: one of ours, a refusal of the machine, or a bug. Nothing here imports torch."""

from __future__ import annotations

import errno
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mnist_arch.errors import FailureKind, MnistArchError
from mnist_arch.files import shown, way_out

DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)

_NO_MEMORY: Final = re.compile(
    r"out of memory|not enough memory|can(no|')t allocate memory|bad_alloc|_ALLOC_FAILED"
    r"|failed to map segment",
    re.IGNORECASE,
)
"""How libraries say so that have no class of their own for it, torch on a CPU among them."""
_DEVICE_FAILED: Final = re.compile(
    r"\b(cuda|hip|mps|cudnn|cublas)( driver)? error\b|\b(cudnn|cublas|cusolver|cufft)_status_",
    re.IGNORECASE,
)

_LESS_MEMORY: Final = "end other programs, or ask for less: fewer trials at a time, smaller batches"
_THE_DEVICE: Final = (
    "try the same command again; if it fails again, see what the driver says of the device, or use "
    "another one"
)


@dataclass(frozen=True)
class Explanation:
    """An error in our own words."""

    kind: FailureKind
    message: str
    hint: str = ""


def explain(error: BaseException) -> Explanation:
    """The kind of an error, what is wrong, and the way out; BUG for all that is not known."""
    match error:
        case MnistArchError():
            return Explanation(error.kind, str(error), error.hint)
        case MemoryError():
            return _memory(error)
        case OSError(errno=int()):
            return _refusal(error)
        case ImportError() | RuntimeError():
            return _said_in_words(error)
        case _:
            return _bug(error)


def says_no_memory(text: str) -> bool:
    """Whether a text, such as the last lines of a process that died, says that memory is short."""
    return _NO_MEMORY.search(text) is not None


def _said_in_words(error: ImportError | RuntimeError) -> Explanation:
    text = str(error)
    torch = sys.modules.get("torch")  # where it is not imported the error is none of its
    is_torch_memory = torch is not None and isinstance(error, torch.OutOfMemoryError)
    if is_torch_memory or says_no_memory(text):
        return _memory(error)
    is_torch_device = torch is not None and isinstance(error, torch.AcceleratorError)
    if is_torch_device or _DEVICE_FAILED.search(text):
        message = f"the device has failed: {_first_line(error)}"
        return Explanation(FailureKind.ACCELERATOR, message, _THE_DEVICE)
    if "can't start new thread" in text:
        message = "the system gives this program no more threads"
        return Explanation(FailureKind.SYSTEM, message, "end other programs, or raise `ulimit -u`")
    return _bug(error)


def _memory(error: BaseException) -> Explanation:
    said = f": {_first_line(error)}" if str(error).strip() else ""
    return Explanation(FailureKind.MEMORY, f"there is not enough memory{said}", _LESS_MEMORY)


def _refusal(error: OSError) -> Explanation:
    """What the operating system refuses, in its words, with the file."""
    if error.errno == errno.ENOMEM:
        return _memory(error)
    where, hint = "", "give the same command again when that is mended"
    if error.filename:
        path = Path(os.fsdecode(error.filename))
        where, hint = f" {shown(path)}", way_out(error, path, doing="write")
    if error.errno in DISK_FULL:
        hint = "free some space" if error.errno == errno.ENOSPC else "your quota is used up"
        message = f"cannot write{where}: {error.strerror}"
        return Explanation(FailureKind.STORAGE, message, hint)
    return Explanation(FailureKind.SYSTEM, f"the system refuses{where}: {error.strerror}", hint)


def _bug(error: BaseException) -> Explanation:
    said = f": {_first_line(error)}" if str(error).strip() else ""
    return Explanation(
        FailureKind.BUG,
        f"this is a bug in mnist-arch: {type(error).__name__}{said}",
        "please report it",
    )


def _first_line(error: BaseException) -> str:
    """Of torch, whose messages may be pages long."""
    return str(error).strip().split("\n")[0]
