"""What is freed is kept, up to a size, and given back when asked."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

from mnist_arch.training.allocator import LARGEST_KEPT_BYTES, give_back_freed, keep_freed

NAMES = ["mallopt", "malloc_trim"]


class Library:
    """A C library with what is named."""

    def __init__(self, *names: str) -> None:
        self.calls: list[tuple[int, ...]] = []
        for name in names:
            setattr(self, name, lambda *values: self.calls.append(values))


@pytest.mark.parametrize(
    ("platform", "names", "called"),
    [("linux", NAMES, True), ("linux", [], False), ("darwin", NAMES, False)],
)
@pytest.mark.parametrize(
    ("function", "calls"),
    [(keep_freed, [(-3, LARGEST_KEPT_BYTES), (-1, 2**31 - 1)]), (give_back_freed, [(0,)])],
)
def test_the_c_library_is_asked_where_it_can(
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    names: list[str],
    called: bool,
    function: Callable[[], None],
    calls: list[tuple[int, ...]],
) -> None:
    library = Library(*names)

    def opened(name: str | None) -> Library:
        assert platform == "linux", "there is no such library to ask"
        assert name is None
        return library

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", opened)
    function()
    assert library.calls == (calls if called else [])


SCRIPT = """
import sys
import torch
from mnist_arch.training.allocator import give_back_freed, keep_freed

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def left_of(megabytes, blocks):
    # One more than is freed stays behind the others, so that they are no end of the heap.
    before = resident()
    held = [torch.ones(megabytes * 2**18) for _ in range(blocks + 1)]
    grown, last = resident() - before, held.pop()
    held.clear()
    return (resident() - before) / grown, last

if sys.argv[1] == "kept":
    keep_freed()
large, one = left_of(40, 3)  # first, since in what is kept there is room for large ones, too
small, two = left_of(12, 10)
give_back_freed()
before = resident()
again, three = left_of(12, 10)
give_back_freed()
print(small, large, (resident() - before) / (11 * 12 * 2**20))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that keeps memory")
def test_maps_of_a_step_are_kept_and_larger_ones_are_not() -> None:
    """Shares of what ten blocks of 12 MB and three of 40 MB took that stay after they are freed."""
    command = [sys.executable, "-c", SCRIPT, "kept"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    small, large, given_back = map(float, said.split())
    assert small > 0.9
    assert large == pytest.approx(1 / 4, abs=0.05)  # the block that is still held
    assert given_back < 0.2


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that keeps memory")
def test_without_asking_the_first_maps_are_not_kept() -> None:
    """So the test above can fail."""
    command = [sys.executable, "-c", SCRIPT, "default"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert float(said.split()[0]) < 0.9
