"""An experiment is counted once, and carried from the door to the result."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import small
from train_command import Terminal
from train_command import mnist_arch as mnist_arch

from mnist_arch.counting.counted import count
from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import plan_network
from mnist_arch.counting.unroll import unroll_parts
from mnist_arch.errors import ShapeError
from mnist_arch.spec.loading import load, loads, validated

COUNTED = {it.__code__: it.__name__ for it in (unroll_parts, plan_network, digest, validated)}


@contextmanager
def calls() -> Iterator[Counter[str]]:
    """How often each function of COUNTED is called, by whatever name it was imported."""
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in COUNTED:
            found[COUNTED[frame.f_code]] += 1

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_training_counts_its_network_once(mnist_arch: Terminal, seeds: int) -> None:
    with calls() as found:
        mnist_arch("small.yaml", "--seeds", str(seeds))
    assert found == {"validated": 1, "unroll_parts": 1, "plan_network": 1, "digest": 1}


def test_the_result_of_a_finished_run_is_shown_after_one_count(mnist_arch: Terminal) -> None:
    mnist_arch("small.yaml")
    with calls() as found:
        mnist_arch("small.yaml")
    assert found == {"validated": 1, "unroll_parts": 1, "plan_network": 1, "digest": 1}


def test_another_dataset_is_another_digest_of_the_same_plan() -> None:
    auto = count(load("s6"))
    with pytest.raises(ValueError, match="resolve the dataset"):
        _ = auto.digest
    mnist, sample = auto.with_dataset("mnist"), auto.with_dataset("mnist-5k")
    assert mnist.plan is sample.plan is auto.plan
    assert mnist.digest != sample.digest
    assert mnist.digest == digest(mnist.experiment)
    assert mnist.folder_name(3) == f"s6-{mnist.digest[:8]}-s3"


def test_what_cannot_be_connected_is_told_with_its_line(tmp_path: Path) -> None:
    text = small.TEXT.replace("channels: [6]", "channels: [6], kind: grouped, groups: 4")
    loaded = loads(text, source="small.yaml")
    with pytest.raises(ShapeError) as caught:
        count(loaded)
    (problem,) = caught.value.problems
    assert (problem.place, problem.origin) == ("blocks[1].channels[0]", "small.yaml:6")
