"""A library is tried before it is trusted, where it can do no harm."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch.nn.functional import conv2d

from mnist_arch.native.compiling import NoLibrary
from mnist_arch.native.machine import Machine
from mnist_arch.training import native_check


@pytest.fixture
def path(library: ctypes.CDLL) -> Path:
    return Path(library._name)


def test_the_library_is_right(path: Path) -> None:
    assert native_check.trouble_here(path) == ""


@pytest.mark.parametrize("share", [0.9, 1.1, float("nan")])
def test_a_library_whose_steps_are_others_is_found_wrong(
    path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    learn = Machine.learn

    def wrong(machine: Machine, *, rate: float, **given: object) -> float:
        return learn(machine, rate=share * rate, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(Machine, "learn", wrong)
    assert "differs from a plain one's by" in native_check.trouble_here(path)


# -------------------------------------------------------------------------------------- in a fork


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What a process was to start anew for, which then says that it is wrong."""
    found: list[Path] = []

    def trouble(library: Path) -> str:
        found.append(library)
        return "it is wrong"

    if sys.platform != "linux":
        pytest.skip("processes are forked on Linux alone")
    monkeypatch.setattr(native_check, "_trouble_in_new_process", trouble)
    return found


@pytest.fixture
def busy() -> Iterator[None]:
    """Torch has threads, which have trained, as has another thread of Python that is there yet."""
    ready, stop = threading.Event(), threading.Event()

    def work() -> None:
        images_NCHW = torch.rand(64, 8, 28, 28, requires_grad=True)
        conv2d(images_NCHW, torch.rand(8, 8, 3, 3)).sum().backward()  # type: ignore[no-untyped-call]

    def work_and_wait() -> None:
        work()
        ready.set()
        stop.wait()

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    work()
    thread = threading.Thread(target=work_and_wait)
    thread.start()
    ready.wait()
    yield
    stop.set()
    thread.join()
    torch.set_num_threads(threads)


def test_a_right_library_is_taken_at_the_word_of_a_fork(path: Path, asked: list[Path]) -> None:
    assert native_check.check(path) == ""
    assert asked == []


@pytest.mark.usefixtures("busy")
def test_a_fork_has_nothing_to_do_with_threads_of_its_parent(path: Path, asked: list[Path]) -> None:
    for _ in range(5):
        assert native_check.check(path) == ""
    assert asked == []
    assert torch.get_num_threads() == 2


def crashes(_: Path) -> str:
    os.kill(os.getpid(), signal.SIGILL)
    return ""


@pytest.mark.parametrize("trial", [crashes, lambda _: "it differs by 3"], ids=["crash", "wrong"])
def test_whatever_else_a_fork_comes_to_a_new_process_decides(
    path: Path, asked: list[Path], monkeypatch: pytest.MonkeyPatch, trial: Callable[[Path], str]
) -> None:
    monkeypatch.setattr(native_check, "trouble_here", trial)
    assert native_check.check(path) == "it is wrong"
    assert asked == [path]


def test_a_file_that_is_no_library_does_not_load_and_nothing_is_started(
    tmp_path: Path, asked: list[Path]
) -> None:
    (tmp_path / "it.so").write_text("no library")
    with pytest.raises(NoLibrary, match="the library does not load"):
        native_check.check(tmp_path / "it.so")
    assert asked == []


# ------------------------------------------------------------------------------- in a new process


@pytest.fixture
def _no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_check, "answer_of_fork", lambda *_, **__: None)


@pytest.mark.usefixtures("_no_fork")
def test_a_new_process_finds_a_library_right(path: Path) -> None:
    assert native_check.check(path) == ""


@pytest.mark.usefixtures("_no_fork")
@pytest.mark.parametrize(
    ("script", "trouble"),
    [
        ("echo no torch >&2; exit 1", "cannot be tried: no torch"),
        ("exit 0", "cannot be tried: no message"),
    ],
)
def test_what_says_nothing_has_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, trouble: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(NoLibrary, match=trouble):
        native_check.check(tmp_path)


@pytest.mark.usefixtures("_no_fork")
def test_a_library_that_ends_its_process_is_found_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does with instructions that the processor has not."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -ILL $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert native_check.check(tmp_path) == "the library ends a process by SIGILL"


@pytest.mark.usefixtures("_no_fork")
def test_a_file_that_is_no_library_cannot_be_tried(tmp_path: Path) -> None:
    (tmp_path / "it.so").write_text("no library")
    with pytest.raises(NoLibrary, match=r"cannot be tried: .*does not load"):
        native_check.check(tmp_path / "it.so")
