"""The smallest that is good enough, by real trainings on the digits that ship."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_sweeps import HereExecutor, blocks, write_sweep

import mnist_arch as ma
from mnist_arch.runs.folder import Run
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.execution import local
from mnist_arch.sweeps.execution.executor import TrialEvent
from mnist_arch.sweeps.standings import Leaderboard, Standing

pytestmark = [pytest.mark.slow, pytest.mark.gate]

WIDTHS = [2, 8, 32]
"""Of 22 · width + 10 parameters."""
SEEDS = 3
ASKED = 50.0
"""In percent: 2 channels stay far below after two epochs, and 32 come above."""


class Interrupted(HereExecutor):
    """Is interrupted once so many trials are done."""

    left = 3

    def events(self) -> Iterator[TrialEvent]:
        if self.left == 0:
            raise KeyboardInterrupt
        for event in super().events():
            yield event
            self.left -= isinstance(event.what, Result)


def by_width(board: Leaderboard) -> dict[int, Standing]:
    return {(it.parameters - 10) // 22: it for it in board.standings}


def test_it_is_found_by_trainings_and_a_search_that_is_resumed_takes_up_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    still = {"rotate_degrees": 0, "shift_pixels": 0, "scale": 0, "shear_degrees": 0}
    recipe = {"epochs": 2, "batch_size": 32, "ema": 0.98, "augment": still}
    objective = {"kind": "smallest", "accuracy_percent": ASKED, "seeds": SEEDS}
    space = {"blocks.0.channels.0": WIDTHS}
    write_sweep(
        tmp_path / "tiny.yaml",
        base={"extends": "s6", **blocks(4), "recipe": recipe},
        holdout=400,
        search={"trials": 3, "sampler": "random", "objective": objective, "space": space},
        finalists={"top": 1, "seeds": 1},
    )
    monkeypatch.setattr(local, "LocalExecutor", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        ma.sweep("tiny.yaml", workers=1, device="cpu")
    sweep = tmp_path / "runs/tiny"
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("*/result.json")}
    assert len(before) == 3

    monkeypatch.setattr(local, "LocalExecutor", HereExecutor)
    board = ma.sweep("tiny.yaml", workers=1, device="cpu")
    assert {path: path.stat().st_mtime_ns for path in before} == before

    found, first = by_width(board), board.standings[0]
    done = {width: it.states["DONE"] for width, it in found.items()}
    assert set(found) == set(WIDTHS)
    # The chosen one has all seeds, a bound that is good enough, and read test once.
    chosen = (first.parameters - 10) // 22
    assert (first.reaches, done[chosen], len(first.final)) == (True, SEEDS, 1)
    assert first.holdout is not None
    assert first.holdout.bound_percent is not None
    assert first.holdout.bound_percent >= ASKED
    final = Run(sweep / first.final[0].folder).result()
    assert final is not None
    assert (final.split, final.images) == ("test", 1_000)
    # What is smaller was given up, by few seeds; what is larger got none once this was known.
    assert all(not found[width].reaches for width in WIDTHS if width < chosen)
    assert done[2] == 1
    assert sum(done.values()) < SEEDS * len(WIDTHS)
    for width in WIDTHS:
        it = found[width]
        assert (it.rejected != "") == (done[width] == 0)
        assert not it.rejected or f"{first.name} is good enough" in it.rejected
    assert sum(done.values()) + 1 == len(list(sweep.glob("*/result.json")))
    # Asked again, nothing is trained.
    assert ma.sweep("tiny.yaml", workers=1, device="cpu") == board
    assert sum(done.values()) + 1 == len(list(sweep.glob("*/result.json")))
