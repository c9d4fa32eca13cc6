"""A fork answers, or has no answer, and this process goes on as it was."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import psutil
import pytest

from mnist_arch.machine.forking import answer_of_fork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")


@pytest.mark.parametrize("answer", [0, 1, 254])
def test_a_call_is_answered(answer: int) -> None:
    assert answer_of_fork(lambda: answer, seconds=10) == answer


def ended_by(number: signal.Signals) -> Callable[[], int]:
    def call() -> int:
        os.kill(os.getpid(), number)
        return 0

    return call


@pytest.mark.parametrize(
    "call",
    [
        ended_by(signal.SIGILL),
        ended_by(signal.SIGSEGV),
        lambda: 1 // 0,
        lambda: sys.exit(0),
        lambda: os._exit(255),
    ],
    ids=["an instruction", "memory", "an error", "an exit", "an end"],
)
def test_what_does_not_return_has_no_answer(call: Callable[[], int]) -> None:
    assert answer_of_fork(call, seconds=10) is None
    assert psutil.Process().children() == []


@pytest.mark.slow
def test_what_does_not_end_is_ended() -> None:
    """Also where a thread of the parent holds what it waits for."""
    lock = threading.Lock()
    with lock:
        assert answer_of_fork(lock.acquire, seconds=1) is None
    assert psutil.Process().children() == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["waits", "blocks signals"])
def test_a_fork_that_cannot_end_itself_is_ended(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """As what a library has asked for in each fork may wait for ever."""
    fork = os.fork

    def stuck() -> int:
        child = fork()
        if child == 0 and how == "waits":
            time.sleep(10)
        elif child == 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        return child

    def sleep() -> int:
        time.sleep(10)
        return 0

    monkeypatch.setattr(os, "fork", stuck)
    assert answer_of_fork(sleep, seconds=1) is None
    assert psutil.Process().children() == []


def test_threads_are_nothing_to_warn_of() -> None:
    """As Python does from 3.12 on; a warning is an error here."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert answer_of_fork(threading.active_count, seconds=10) == 1
    finally:
        stop.set()
        thread.join()


def test_a_fork_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    def shout() -> int:
        os.write(1, b"out")
        os.write(2, b"err")
        print("kept until the end")
        print("and flushed", file=sys.stderr, flush=True)
        return 0

    print("mine")
    assert answer_of_fork(shout, seconds=10) == 0
    assert capfd.readouterr() == ("mine\n", "")


def test_where_ends_of_processes_are_ignored_there_is_no_answer() -> None:
    kept = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert answer_of_fork(lambda: 0, seconds=10) is None
    finally:
        signal.signal(signal.SIGCHLD, kept)


def test_without_memory_for_a_fork_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise OSError("no memory")

    monkeypatch.setattr(os, "fork", fork)
    assert answer_of_fork(lambda: 0, seconds=10) is None


def test_elsewhere_nothing_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert answer_of_fork(lambda: 0, seconds=10) is None


def test_who_is_interrupted_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    wait, calls = os.waitpid, []

    def interrupted(child: int, options: int) -> tuple[int, int]:
        calls.append(child)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return wait(child, options)

    def sleep() -> int:
        time.sleep(60)
        return 0

    monkeypatch.setattr(os, "waitpid", interrupted)
    with pytest.raises(KeyboardInterrupt):
        answer_of_fork(sleep, seconds=60)
    assert psutil.Process().children() == []


def test_any_thread_may_ask() -> None:
    answers: list[int | None] = []
    thread = threading.Thread(target=lambda: answers.append(answer_of_fork(lambda: 7, seconds=10)))
    thread.start()
    thread.join()
    assert answers == [7]
