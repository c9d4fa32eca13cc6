"""A sweep whose processes are killed, at any moment and any number of times, loses nothing.

A driver with two workers trains; with SIGKILL, against which no program can do anything, the one or
the others or all of them are killed, and the driver is started again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import end, living, send
from small_sweep import assert_same_run, planned_sweep, train_here

from mnist_arch.data.load import load_split
from mnist_arch.runs.folder import Run
from mnist_arch.sweeps.ledger import Ledger, TrialStatus
from mnist_arch.sweeps.planning import SweepPlan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.gate,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux"),
]

EPOCHS = 20
TRIALS = 6
KILLS = 8
TEXT = f"""
base:
  blocks: [{{channels: [4], stride: 4, dropout: 0.1}}]
  head: {{pool: flatten, linear: true}}
  recipe: {{epochs: {EPOCHS}, batch_size: 20, schedule: {{peak: 0.05}}, ema: 0.9}}
grid: {{recipe.schedule.peak: [0.05, 0.1]}}
dataset: mnist-5k
holdout: 3900
seeds: 3
budget: {{epochs_below: 10000}}
"""
ENDLESS = TEXT.replace(f"epochs: {EPOCHS}", "epochs: 5000")


class Keeper:
    """Starts drivers, one at a time."""

    def __init__(self) -> None:
        paths = [str(Path(__file__).parents[1] / "support"), *(path for path in sys.path if path)]
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parents[1] / "support/killable_sweep.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )

    def ask(self, **request: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


class Driver:
    """A sweep, from a start to an end."""

    def __init__(self, keeper: Keeper, folder: Path, *, spawn: bool = False) -> None:
        self.keeper = keeper
        self.code: int | None = None
        pipe = folder / "events"
        pipe.unlink(missing_ok=True)  # one that workers of an earlier driver may still hold
        os.mkfifo(pipe)
        keeper.ask(folder=str(folder), spawn=spawn)
        self.process = psutil.Process(keeper.answer())
        self.events = pipe.open()

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        if self.code is None:
            self.kill()
        self.events.close()

    def says(self) -> list[str]:
        """The next event, in words; nothing when it has ended, and its workers, too."""
        return self.events.readline().split()

    def ends(self, *, seconds: float) -> bool:
        """Whether it ends within this time."""
        ready, _, _ = select.select([self.keeper.process.stdout], [], [], seconds)
        if ready:
            self.code = self.keeper.answer()
        return bool(ready)

    def workers(self) -> list[psutil.Process]:
        """Those that live; none when the driver has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.process.children()
        return []

    def kill(self, *workers: psutil.Process) -> None:
        """Kills the driver, unless it has ended by itself meanwhile, and these of its workers."""
        send(signal.SIGSTOP, self.process)  # so that it does nothing about its workers
        send(signal.SIGKILL, *workers, self.process)
        self.code = self.keeper.answer()

    def finish(self) -> None:
        """Waits for the end of the sweep."""
        while self.says():
            pass
        self.code = self.keeper.answer()
        assert self.code == 0


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    yield keeper
    end(keeper.process)


@pytest.fixture(scope="module")
def planned(session_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SweepPlan]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(session_cache))
        load_split("mnist-5k", "train")  # leaves the parsed sample in the cache, for all workers
        yield planned_sweep(tmp_path_factory.mktemp("plan"), text=TEXT)


def new_folder(parent: Path, name: str, *, text: str = TEXT) -> Path:
    folder = parent / name
    folder.mkdir()
    planned_sweep(folder, text=text)
    return folder


def all_done(planned: SweepPlan, folder: Path) -> bool:
    ledger = Ledger(folder / "sweep")
    return all(ledger.status(trial) is TrialStatus.DONE for trial in planned.trials())


@pytest.fixture(scope="module")
def alone(planned: SweepPlan, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """What each trial comes to in this process, undisturbed."""
    folder = tmp_path_factory.mktemp("alone")
    runs = [Run(folder / str(number)) for number in range(TRIALS)]
    for run, trial in zip(runs, planned.trials(), strict=True):
        train_here(planned.counted(trial.arm, "ranking"), run, seed=trial.seed)
    return runs


def assert_as_if_alone(planned: SweepPlan, folder: Path, alone: list[Run]) -> None:
    ledger = Ledger(folder / "sweep")
    assert len([path for path in ledger.folder.iterdir() if path.is_dir()]) == TRIALS
    for reference, trial in zip(alone, planned.trials(), strict=True):
        assert ledger.status(trial) is TrialStatus.DONE
        assert_same_run(ledger.run(trial), reference)
        lines = ledger.run(trial).metrics_path.read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == list(range(1, EPOCHS + 1))


class Written:
    """The results of a folder, each of which is written once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stamps: dict[Path, tuple[int, int]] = {}

    def look(self) -> None:
        for path in self.folder.glob("sweep/*/result.json"):
            stamp = (path.stat().st_ino, path.stat().st_mtime_ns)
            assert self.stamps.setdefault(path, stamp) == stamp, f"{path} was written again"


def strike(driver: Driver, rng: random.Random) -> bool:
    """Kills something at a moment of chance; false if the sweep ended before."""
    early = rng.random() < 0.25
    for _ in range(0 if early else rng.randrange(1, EPOCHS)):
        if not driver.says():
            break
    if driver.ends(seconds=rng.uniform(0, 0.5 if early else 0.1)):
        return False
    workers, what = driver.workers(), rng.choice(["driver", "worker", "all"])
    if what == "worker" and workers:
        send(signal.SIGKILL, rng.choice(workers))
        return True
    driver.kill(*(workers if what == "all" else ()))
    if driver.code != -signal.SIGKILL:
        return False
    if rng.random() < 0.5:  # else the next driver meets those that are left
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert alive == [], "workers outlive their driver"
    return True


def test_killed_at_random_moments(
    planned: SweepPlan, keeper: Keeper, alone: list[Run], tmp_path: Path
) -> None:
    rng, kills, folders = random.Random(20), 0, 0
    while kills < KILLS:
        folders += 1
        folder = new_folder(tmp_path, str(folders))
        written = Written(folder)
        while not all_done(planned, folder):
            with Driver(keeper, folder) as driver:
                while driver.code is None and kills < KILLS and strike(driver, rng):
                    kills += 1
                    written.look()
                if driver.code is None:
                    driver.finish()
            assert driver.code in (0, -signal.SIGKILL)
            written.look()
    assert_as_if_alone(planned, folder, alone)


def test_a_worker_that_has_not_noticed_keeps_its_trial(
    planned: SweepPlan, keeper: Keeper, tmp_path: Path
) -> None:
    """Workers as they are in earnest, stopped, so that they do not see that their driver died."""
    folder = new_folder(tmp_path, "stopped", text=ENDLESS)
    begun: set[tuple[str, str]] = set()
    with Driver(keeper, folder, spawn=True) as driver:
        while len(begun) < 2:
            kind, name, seed, *_ = driver.says()
            if kind == "EpochRecord":
                begun.add((name, seed))
        left = living(driver.process, of="spawn_main")
        assert len(left) == 2
        for worker in left:
            worker.suspend()
        driver.kill()
    try:
        with Driver(keeper, folder) as later:
            while sum(has_a_log(worker) for worker in later.workers()) < 2:
                assert not later.ends(seconds=0)
            said, _, _ = select.select([later.events], [], [], 2)
            assert said == [], "a trial is trained by two"
            for worker in left:
                worker.resume()
            _, alive = psutil.wait_procs(left, timeout=60)
            assert alive == [], "workers outlive their driver"
            began: dict[tuple[str, str], int] = {}
            while len(began) < 2:
                kind, name, seed, number = later.says()
                if kind == "Started":
                    began[name, seed] = int(number)
            assert began.keys() == begun
            assert min(began.values()) >= 1
    finally:
        send(signal.SIGKILL, *left)  # which may still be stopped


def has_a_log(worker: psutil.Process) -> bool:
    """Whether a worker has begun with a trial, and may wait for its folder."""
    with contextlib.suppress(psutil.Error):
        return any(Path(file.path).name == "log" for file in worker.open_files())
    return False
