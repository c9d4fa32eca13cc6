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
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from small_sweep import assert_same_run, planned_sweep, processes, train_here

from mnist_arch.data import load_split
from mnist_arch.runs import Run
from mnist_arch.sweeps.ledger import Ledger, State
from mnist_arch.sweeps.planning import Planned

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX"),
]

EPOCHS = 10
TRIALS = 6
KILLS = 20
TEXT = f"""
base:
  blocks: [{{channels: [4], pool: {{kind: max, size: 4}}, dropout: 0.1}}]
  head: {{pool: flatten, linear: true}}
  recipe: {{epochs: {EPOCHS}, batch_size: 20, schedule: {{peak: 0.05}}, ema: 0.9}}
grid: {{recipe.schedule.peak: [0.05, 0.1]}}
dataset: mnist-5k
holdout: 3900
seeds: 3
"""


@dataclass
class Driver:
    """The sweep in a process, from a start to an end."""

    process: subprocess.Popen[str]

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @classmethod
    def start(cls, folder: Path) -> Driver:
        paths = [str(Path(__file__).parent), *(path for path in sys.path if path)]
        script = str(Path(__file__).with_name("killable_sweep.py"))
        return cls(
            subprocess.Popen(
                [sys.executable, script, str(folder / "small.yaml"), str(folder / "sweep")],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
            )
        )

    def says(self) -> list[str]:
        """The next event, in words; nothing when it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def workers(self) -> list[psutil.Process]:
        return processes(psutil.Process(self.process.pid), of="spawn_main")

    def kill(self, *workers: psutil.Process) -> None:
        """Kills the driver, and these of its workers."""
        self.process.send_signal(signal.SIGSTOP)  # so that it does nothing about its workers
        for worker in workers:
            worker.kill()
        self.process.kill()
        self.process.wait()

    def finish(self) -> None:
        """Waits for the end of the sweep."""
        while self.says():
            pass
        assert self.process.wait() == 0


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    return planned_sweep(tmp_path_factory.mktemp("plan"), text=TEXT)


@pytest.fixture(autouse=True)
def _sample() -> None:
    load_split("mnist-5k", "train")  # leaves the parsed sample in the cache, for all workers


def new_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    planned_sweep(folder, text=TEXT)
    return folder


def all_done(planned: Planned, folder: Path) -> bool:
    ledger = Ledger(folder / "sweep")
    return all(ledger.state(trial) is State.DONE for trial in planned.trials())


def assert_as_if_alone(planned: Planned, folder: Path, alone: Path) -> None:
    """Every trial is done, and has come to what it comes to in this process."""
    ledger = Ledger(folder / "sweep")
    assert len([path for path in ledger.folder.iterdir() if path.is_dir()]) == TRIALS
    for number, trial in enumerate(planned.trials()):
        assert ledger.state(trial) is State.DONE
        reference = Run(alone / str(number))
        train_here(planned.loaded(trial.arm, "ranking"), reference, seed=trial.seed)
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
    if driver.process.poll() is not None:
        return False
    early = rng.random() < 0.25
    for _ in range(0 if early else rng.randrange(1, 3 * EPOCHS)):
        if not driver.says():
            return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.process.wait(timeout=rng.uniform(0, 3 if early else 0.2))
        return False
    workers, what = driver.workers(), rng.choice(["driver", "worker", "all"])
    if what == "worker" and workers:
        rng.choice(workers).kill()
        return True
    driver.kill(*(workers if what == "all" else ()))
    if rng.random() < 0.5:  # else the next driver meets those that are left
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert alive == [], "workers outlive their driver"
    return True


def test_killed_at_random_moments(planned: Planned, tmp_path: Path) -> None:
    rng, kills, folders = random.Random(20), 0, 0
    while kills < KILLS:
        folders += 1
        folder = new_folder(tmp_path, str(folders))
        written = Written(folder)
        while not all_done(planned, folder):
            with Driver.start(folder) as driver:
                while kills < KILLS and strike(driver, rng):
                    kills += 1
                    written.look()
                if driver.process.poll() is None:
                    driver.finish()
                written.look()
    assert_as_if_alone(planned, folder, tmp_path / "alone")


def test_a_worker_that_has_not_noticed_keeps_its_trial(planned: Planned, tmp_path: Path) -> None:
    folder = new_folder(tmp_path, "stopped")
    begun: set[tuple[str, str]] = set()
    with Driver.start(folder) as driver:
        while len(begun) < 2:
            kind, name, seed, *_ = driver.says()
            if kind == "Epoch":
                begun.add((name, seed))
        left = driver.workers()
        for worker in left:
            worker.suspend()
        driver.kill()
    with Driver.start(folder) as later:
        while sum(has_a_log(worker) for worker in later.workers()) < 2:
            assert later.process.poll() is None
        said, _, _ = select.select([later.process.stdout], [], [], 2)
        assert said == [], "a trial is trained by two"
        for worker in left:
            worker.resume()
        _, alive = psutil.wait_procs(left, timeout=60)
        assert alive == []
        began = [later.says(), later.says()]
        assert [kind for kind, *_ in began] == ["Began", "Began"]
        assert {(name, seed) for _, name, seed, _ in began} == begun
        assert all(int(epochs_done) >= 1 for *_, epochs_done in began)
        later.finish()
    assert_as_if_alone(planned, folder, tmp_path / "alone")


def has_a_log(worker: psutil.Process) -> bool:
    """Whether a worker has begun with a trial, and may wait for its folder."""
    with contextlib.suppress(psutil.Error):
        return any(Path(file.path).name == "log" for file in worker.open_files())
    return False
