"""A run that is killed, at any moment and any number of times, comes to the same bits.

The children of one process (`killable.py`) train and are killed with SIGKILL, against which no
program can do anything. Then Ctrl-C, at the real command line.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import end
from typer.testing import CliRunner

from mnist_arch.data.load import load_split
from mnist_arch.runs.folder import Run
from mnist_arch.runs.manifest import Manifest
from mnist_arch_cli.app import app

pytestmark = [
    pytest.mark.slow,
    pytest.mark.gate,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
]

FILES = [
    ".lock",
    "checkpoint",
    "curves.png",
    "manifest.json",
    "metrics.jsonl",
    "result.json",
    "weights.safetensors",
]
EPOCHS = 4


def environment() -> dict[str, str]:
    paths = [str(Path(__file__).parents[1] / "support"), *(path for path in sys.path if path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


class Trainer:
    """Trains in children that can be killed."""

    def __init__(self) -> None:
        script = str(Path(__file__).parents[1] / "support/killable.py")
        self.process = subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def train(self, parent: Path, kill: list[Any] | None = None) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"parent": str(parent), "kill": kill}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert answer["exit"] in (None, 0), answer
        return answer


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = Trainer()
    yield trainer
    end(trainer.process)


def run_in(parent: Path) -> Run:
    (folder,) = parent.iterdir()
    return Run(folder)


def without_clocks(run: Run) -> list[dict[str, Any]]:
    """The records and the result, without what depends on the clock."""
    lines = run.metrics_path.read_text().splitlines()
    values = [json.loads(text) for text in [*lines, run.result_path.read_text()]]
    for value in values:
        for name in ("seconds", "images_per_second", "command_seconds"):
            value.pop(name, None)
    return values


@pytest.fixture(scope="module")
def undisturbed(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, float]:
    """A run that was never killed, and how long it took."""
    parent = tmp_path_factory.mktemp("undisturbed")
    answer = trainer.train(parent)
    assert not answer["killed"]
    return run_in(parent), answer["seconds"]


def assert_same(run: Run, reference: Run) -> None:
    assert sorted(os.listdir(run.folder)) == FILES
    assert run.weights_path.read_bytes() == reference.weights_path.read_bytes()
    assert without_clocks(run) == without_clocks(reference)
    epochs = [json.loads(line)["epoch"] for line in run.metrics_path.read_text().splitlines()]
    assert epochs == list(range(1, EPOCHS + 1))


def test_killed_at_every_delicate_moment(
    trainer: Trainer, undisturbed: tuple[Run, float], tmp_path: Path
) -> None:
    # The moment of death, and how many epochs are done then. At the rewriting of the metrics the
    # run has not yet said that it goes on.
    deaths: list[tuple[list[Any], int]] = [
        (["replace", "manifest.json", 1], 0),
        (["step", 7], 0),
        (["line", 1], 0),
        (["record", 1], 0),
        (["replace", "metrics.jsonl", 1], 0),
        (["replace", "checkpoint", 2], 1),
        (["replaced", "checkpoint", 1], 2),
        (["step", 5], 2),
        (["line", 2], 3),
        (["record", 1], 3),
        (["step", 10], 3),
        (["replace", "weights.safetensors", 1], 4),
        (["replace", "result.json", 1], 4),
        (["replace", "curves.png", 1], 4),
    ]
    done, manifest = None, b""
    for kill, done_then in deaths:
        answer = trainer.train(tmp_path, kill)
        assert answer["killed"], kill
        said = None if "metrics.jsonl" in kill else done
        assert answer["epochs_done"] == said, kill
        run = run_in(tmp_path)
        assert run.result_path.exists() == ("curves.png" in kill)  # and the next draws the picture
        if run.manifest_path.exists():
            assert manifest in (b"", run.manifest_path.read_bytes())
            manifest = run.manifest_path.read_bytes()
        done = done_then
    answer = trainer.train(tmp_path)
    assert (answer["killed"], answer["epochs_done"]) == (False, 4)
    assert_same(run, undisturbed[0])
    written = {path.name: path.stat().st_mtime_ns for path in run.folder.iterdir()}
    assert trainer.train(tmp_path)["epochs_done"] == 4
    later = {path.name: path.stat().st_mtime_ns for path in run.folder.iterdir()}
    assert {name for name in written if written[name] != later[name]} <= {".lock"}


def test_killed_at_random_moments(
    trainer: Trainer, undisturbed: tuple[Run, float], tmp_path: Path
) -> None:
    reference, seconds = undisturbed
    rng, kills, folders, longest = random.Random(20), 0, 0, 0.8 * seconds
    while kills < 5:
        folders += 1
        parent = tmp_path / str(folders)
        parent.mkdir()
        while trainer.train(parent, ["after", rng.uniform(0, longest)])["killed"]:
            kills += 1
            longest *= 1.1  # a machine that is busier now gets somewhere, too
        assert_same(run_in(parent), reference)


# ----------------------------------------------------------------------------------------- Ctrl-C

SPEC = """
name: brief
blocks: [{channels: [4], pool: {kind: max, size: 4}, dropout: 0.1}]
head: {pool: flatten, linear: true}
recipe: {epochs: 12, batch_size: 50, schedule: {peak: 0.05}}
dataset: mnist-5k
holdout: 3000
"""


def test_ctrl_c_says_how_to_go_on_and_the_run_goes_on(tmp_path: Path) -> None:
    load_split("mnist-5k", "train")  # leaves the parsed sample in the cache
    (tmp_path / "brief.yaml").write_text(SPEC)
    runs = tmp_path / "my runs"
    # A shell starts its background jobs with SIGINT ignored, and this test may be in one.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heeding}; from mnist_arch_cli.app import app; app(prog_name='mnist-arch')"
    spec, options = str(tmp_path / "brief.yaml"), ["--out", str(runs), "--engine", "plain"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, "train", spec, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stderr is not None
    before = ""
    while "epoch  2/12" not in before:
        line = process.stderr.readline()
        assert line, before
        before += line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, before + err
    run = run_in(runs)
    assert out == ""
    assert "Traceback" not in err
    assert f"mnist-arch train --resume '{run.folder}'" in err
    assert not run.result_path.exists()
    assert (run.folder / "checkpoint").exists()

    resumed = CliRunner().invoke(app, ["train", "--resume", str(run.folder)])
    assert resumed.exit_code == 0, resumed.stderr
    assert f"resuming {run.folder} after epoch" in resumed.stderr
    assert sorted(os.listdir(run.folder)) == FILES

    elsewhere = tmp_path / "elsewhere"
    again = CliRunner().invoke(
        app, ["train", "--from-manifest", str(run.manifest_path), "--out", str(elsewhere)]
    )
    assert again.exit_code == 0, again.stderr
    repeated = run_in(elsewhere)
    assert repeated.weights_path.read_bytes() == run.weights_path.read_bytes()
    assert without_clocks(repeated) == without_clocks(run)
    started = Manifest.model_validate_json(repeated.manifest_path.read_text())
    assert started.data_sha256 == run.manifest().data_sha256
