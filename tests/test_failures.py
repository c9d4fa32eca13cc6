"""What an error is called, and what a process that ended has died of."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from mnist_arch.errors import ExitCode, FailureKind, NonFiniteLoss, RunLocked, StorageError
from mnist_arch.failures import explain
from mnist_arch.sweeps.execution.local import failure_of_death
from mnist_arch.sweeps.ledger import Failure


def raised(what: str) -> Exception:
    """What a statement raises, here."""
    try:
        exec(what, {"torch": torch, "np": np})
    except Exception as error:
        return error
    raise AssertionError("it raises nothing")


def system_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "a/file")


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (NonFiniteLoss(epoch=1, step=2, rate=0.1), FailureKind.LOSS, 1),
        (StorageError("the disk"), FailureKind.STORAGE, 3),
        (RunLocked("another process"), FailureKind.LOCKED, 3),
        (raised("torch.empty(10**15)"), FailureKind.MEMORY, 3),  # as a RuntimeError
        (raised("np.empty(10**15)"), FailureKind.MEMORY, 3),
        (raised("'a' * 2**62"), FailureKind.MEMORY, 3),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), FailureKind.MEMORY, 3),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"), FailureKind.MEMORY, 3),
        (RuntimeError("MPS backend out of memory (MPS allocated"), FailureKind.MEMORY, 3),
        (ImportError("libtorch.so: failed to map segment from shared"), FailureKind.MEMORY, 3),
        (system_error(errno.ENOMEM), FailureKind.MEMORY, 3),
        (torch.AcceleratorError("an illegal memory access"), FailureKind.ACCELERATOR, 3),
        (RuntimeError("CUDA error: unspecified launch failure"), FailureKind.ACCELERATOR, 3),
        (RuntimeError("cuDNN error: CUDNN_STATUS_BAD"), FailureKind.ACCELERATOR, 3),
        (system_error(errno.ENOSPC), FailureKind.STORAGE, 3),
        (system_error(errno.EDQUOT), FailureKind.STORAGE, 3),
        (system_error(errno.EACCES), FailureKind.SYSTEM, 3),
        (system_error(errno.EMFILE), FailureKind.SYSTEM, 3),
        (system_error(errno.EIO), FailureKind.SYSTEM, 3),
        (RuntimeError("can't start new thread"), FailureKind.SYSTEM, 3),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), FailureKind.BUG, 70),
        (ZeroDivisionError("by zero"), FailureKind.BUG, 70),
        (OSError("of a library, without a number"), FailureKind.BUG, 70),
        (KeyError(), FailureKind.BUG, 70),
    ],
    ids=lambda it: repr(it)[:40] if isinstance(it, Exception) else "",
)
def test_an_error_has_its_kind_and_its_exit_code(
    error: Exception, kind: FailureKind, code: int
) -> None:
    it = explain(error)
    assert it.kind is kind
    assert it.kind.exit_code == code
    assert it.message
    assert "\n" not in it.message
    assert it.hint or isinstance(error, StorageError | RunLocked)  # these have what they were given


def test_what_the_system_refuses_names_the_file_and_the_reason() -> None:
    it = explain(system_error(errno.EACCES))
    assert it.message == "the system refuses a/file: Permission denied"
    assert "a/file" in explain(system_error(errno.ENOSPC)).message


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (-signal.SIGKILL, FailureKind.WORKER, "its process was killed by SIGKILL"),
        (-signal.SIGTERM, FailureKind.WORKER, "its process was killed by SIGTERM"),
        (-signal.SIGBUS, FailureKind.WORKER, "its process was killed by SIGBUS"),
        (-signal.SIGRTMIN - 3, FailureKind.WORKER, "its process was killed by signal 37"),
        (-signal.SIGSEGV, FailureKind.CRASH, "its process was killed by SIGSEGV"),
        (-signal.SIGABRT, FailureKind.CRASH, "its process was killed by SIGABRT"),
        (7, FailureKind.CRASH, "its process ended with exit code 7"),
    ],
)
def test_a_process_that_died(code: int, kind: FailureKind, reason: str) -> None:
    failure = failure_of_death(code, ["a line"], has_begun=True)
    assert (failure.kind, failure.reason, failure.log_tail) == (kind, reason, ["a line"])
    assert kind.exit_code == (3 if kind is FailureKind.WORKER else 70)


def test_a_process_that_could_not_begin_is_no_bug() -> None:
    assert failure_of_death(1, [], has_begun=False).kind is FailureKind.WORKER


def test_a_process_that_died_for_want_of_memory_said_so() -> None:
    tail = ["terminate called after throwing an instance of 'std::bad_alloc'", "  what()"]
    failure = failure_of_death(-signal.SIGABRT, tail, has_begun=True)
    assert failure.kind is FailureKind.MEMORY
    assert failure.hint == "use fewer workers="


def test_a_kind_is_the_same_value_wherever_it_comes_from() -> None:
    """Through a pipe, and through a file."""
    for kind in FailureKind:
        assert pickle.loads(pickle.dumps(kind)) is kind
        failure = Failure(kind=kind, reason="it", time="now")
        read = Failure.model_validate_json(failure.json_text())
        assert read.kind is kind
        assert isinstance(read.kind.exit_code, ExitCode)


@pytest.mark.slow
def test_explaining_imports_no_torch() -> None:
    script = (
        "import sys; from mnist_arch.failures import explain;"
        "explain(RuntimeError('out of memory')); print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "False\n"
