"""How long a teacher waits for a class of thirty: `audit`, `check` and `check --rerun`.

    python benchmarks/classroom.py --out benchmarks/results/classroom.json

Thirty runs are trained on the embedded sample, six networks with five seeds each, and packed as
they are handed in; thirty notebooks are those of the tests of `audit`, correct and faulty alike.
Whole commands are timed from outside.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from report import PROGRAM, ROOT, compile_checkout, environment, origin, publish, table

import mnist_arch as ma

CASES = Path(__file__).parents[1] / "tests" / "support"
STUDENTS, SEEDS = 30, 5
NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "narrow": {"blocks[0].channels": [4, 8, 8]},
    "separable": {"blocks[1].kind": "separable"},
    "residual": {"blocks[1].channels": [8, 8], "blocks[1].residual": True},
    "no-dropout": {"defaults.dropout": 0.0},
    "other-order": {"defaults.order": "conv-norm-activation"},
}
RULES = """parameters_below: 20000
epochs_below: 20
accuracy_percent: 50
dataset: mnist-5k
"""


def seconds(command: list[str]) -> tuple[float, int]:
    """Wall-clock and exit code of one process; 1 says that something differs, or does not hold."""
    start = time.perf_counter()
    done = subprocess.run([*PROGRAM, *command], env=environment(), stdout=subprocess.DEVNULL)
    taken = time.perf_counter() - start
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return taken, done.returncode


def hand_in_runs(folder: Path, epochs: int) -> None:
    """The archives of thirty students."""
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    for name, changes in NETWORKS.items():
        score = ma.train(
            "s6",
            set={"name": name, **changes},
            dataset="mnist-5k",
            epochs=epochs,
            seeds=SEEDS,
            out=folder / "runs",
        )
        print(f"{name}: {score}", file=sys.stderr)
    found = sorted(it for it in (folder / "runs").iterdir() if it.is_dir())
    assert len(found) == STUDENTS
    for number, run in enumerate(found):
        out = folder / f"student-{number:02}.zip"
        command = ["runs", "pack", str(run), "--out", str(out), "--runs", str(folder / "runs")]
        assert seconds(command)[1] == 0


def hand_in_notebooks(folder: Path) -> None:
    """Notebooks of thirty students: every fourth case of the tests, so that all kinds occur."""
    folder.mkdir()
    sys.path.insert(0, str(CASES))
    examples = importlib.import_module("notebooks_of_others").examples
    chosen = itertools.islice(itertools.islice(examples(), 0, None, 4), STUDENTS)
    assert len({it.write(folder) for it in chosen}) == STUDENTS


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--epochs", type=int, default=2, help="of each run")
    options.add_argument(
        "--folder", type=Path, help="keep what is handed in here, and use it again"
    )
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    compile_checkout(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        rules = Path(name) / "rules.yaml"
        rules.write_text(RULES)
        if not (folder / "notebooks").exists():
            hand_in_runs(folder / "class", arguments.epochs)
            hand_in_notebooks(folder / "notebooks")
        archives = sorted(map(str, (folder / "class").glob("*.zip")))
        notebooks = sorted(map(str, (folder / "notebooks").iterdir()))
        check = ["check", *archives, "--budget", str(rules), "--csv"]
        commands = {
            "audit": ["audit", *notebooks, "--csv"],
            "check": check,
            "check --rerun": [*check, "--rerun"],
        }
        found = {}
        for label, command in commands.items():
            taken, code = seconds(command)
            found[label] = {"seconds": taken, "exit": code}
    rows = [[label, f"{it['seconds']:.1f}", str(it["exit"])] for label, it in found.items()]
    report = {**origin(), "students": STUDENTS, "epochs": arguments.epochs, "commands": found}
    publish(table((f"{STUDENTS} students", "seconds", "exit"), rows), report, arguments.out)


if __name__ == "__main__":
    main()
