"""How long `mnist-arch runs list` takes for ten thousand runs.

    python benchmarks/listing.py --out benchmarks/results/listing.json

Whole commands are timed from outside, the start of Python included. The runs are of s6, with the
files that a training leaves: 1,200 experiments of five seeds, and a sweep of 1,000 arms of four.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from report import PROGRAM, environment, origin, publish, spread, table

from mnist_arch.counting.plan import plan_network
from mnist_arch.runs.manifest import Manifest
from mnist_arch.runs.result import Result
from mnist_arch.spec.loading import Loaded, load
from mnist_arch.training.engine import Engine

EXPERIMENTS, SEEDS = 1_200, 5
ARMS, SEEDS_OF_ARM = 1_000, 4
EPOCHS = 19
STARTED = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

COMMANDS: dict[str, list[str]] = {
    "runs list": [],
    "PATTERN": ["net-01*"],
    "--where parameters<8000": ["--where", "parameters<8000"],
    "--where recipe.ema>0.99": ["--where", "recipe.ema>0.99"],
    "--sort -accuracy": ["--sort", "-accuracy"],
    "--json": ["--json"],
    "--csv": ["--csv"],
}


def fill(folder: Path) -> None:
    """All runs, below a folder."""
    loaded = load("s6")
    binary = {"weights.safetensors": 81_000, "checkpoint": 330_000, "curves.png": 66_000}
    for name, size in binary.items():
        (folder.parent / name).write_bytes(b"\0" * size)
    write = _writer(folder.parent, binary, loaded)
    number = 0
    for number in range(EXPERIMENTS):
        for seed in range(SEEDS):
            write(folder, f"net-{number:04d}", number * SEEDS + seed, seed, number)
    sweep = folder / "sweep"
    standings = []
    for arm in range(ARMS):
        name = f"arm-{arm:04d}"
        trials = [
            {"folder": write(sweep, name, number * SEEDS + arm * SEEDS_OF_ARM + seed, seed, -arm)}
            for seed in range(SEEDS_OF_ARM)
        ]
        differs = {"recipe.optimizer.peak": f"{arm / 1000}"}
        standings.append({"name": name, "differs": differs, "trials": trials, "final": []})
    (sweep / "sweep.json").write_text("{}")
    (sweep / "leaderboard.json").write_text(json.dumps({"standings": standings}))


def _writer(
    beside: Path, binary: dict[str, int], loaded: Loaded
) -> Callable[[Path, str, int, int, int], str]:
    """A function that writes one run, and gives the name of its folder."""
    plan = plan_network(loaded.experiment)
    manifest = json.loads(
        Manifest(
            experiment=loaded.experiment.model_copy(update={"dataset": "mnist", "holdout": 5_000}),
            origins=loaded.origins,
            digest="0" * 64,
            seed=0,
            engine=Engine(device="cpu", threads=1),
            versions={name: "1.0.0" for name in ("python", "mnist-arch", "numpy", "torch")},
            data_sha256="0" * 64,
            git=None,
            command=["mnist-arch", "train", "net.yaml", "--dataset", "mnist"],
            started=STARTED.isoformat(),
        ).json_text()
    )
    lines = [
        {"correct": 4_900 + epoch, "epoch": epoch, "format": 2, "images": 5_000, "loss": 0.03}
        | {"images_per_second": 6_400.5, "rate": 0.05, "seconds": 9.7, "train_loss": 0.04}
        for epoch in range(1, EPOCHS + 1)
    ]
    metrics = "".join(json.dumps(line) + "\n" for line in lines)

    def write(parent: Path, name: str, number: int, seed: int, network: int) -> str:
        digest = f"{network % (1 << 32):08x}" * 8
        folder = parent / f"{name}-{digest[:8]}-s{seed}"
        folder.mkdir(parents=True)
        started = (STARTED + datetime.timedelta(seconds=number)).isoformat()
        manifest["experiment"]["name"] = name
        of_run = {**manifest, "digest": digest, "seed": seed, "started": started}
        (folder / "manifest.json").write_text(json.dumps(of_run, indent=2, sort_keys=True) + "\n")
        wrong = sorted((number * 7919 + step * 97) % 5_000 for step in range(40 + number % 17))
        parameters = plan.parameters - 17 * (network % 1_000)
        result = made_up(name, digest, seed, wrong, parameters, plan.macs)
        (folder / "result.json").write_text(result.json_text())
        (folder / "metrics.jsonl").write_text(metrics)
        (folder / ".lock").touch()
        for file in binary:
            os.link(beside / file, folder / file)
        return folder.name

    return write


def made_up(
    name: str, digest: str, seed: int, wrong: list[int], parameters: int, macs: int
) -> Result:
    correct = 5_000 - len(wrong)
    return Result.model_validate(
        {
            "name": name,
            "digest": digest,
            "seed": seed,
            "dataset": "mnist",
            "split": "validation",
            "correct": correct,
            "images": 5_000,
            "accuracy_percent": correct / 50,
            "interval_percent": (98.0, 99.5),
            "loss": 0.03,
            "best_epoch": EPOCHS,
            "best_accuracy_percent": correct / 50,
            "mistakes": wrong,
            "parameters": parameters,
            "macs": macs,
            "inference_bytes": 100_760,
            "epochs": EPOCHS,
            "seconds": 600.0,
            "command_seconds": 600.0,
            "verdicts": {"parameters": "kept", "epochs": "kept", "accuracy": "none"},
        }
    )


def seconds(command: list[str]) -> float:
    """Wall-clock of one process."""
    start = time.perf_counter()
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measured(folder: Path, repeats: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Seconds of each command, in turn, so that the machine's changes of speed touch all alike."""
    commands = {
        name: [*PROGRAM, "runs", "list", *arguments, "--runs", str(folder)]
        for name, arguments in COMMANDS.items()
    }
    commands["zoo"] = [*PROGRAM, "zoo"]
    for command in commands.values():
        seconds(command)  # fills the file cache
    rounds = [{name: seconds(it) for name, it in commands.items()} for _ in range(repeats)]
    for name in commands:
        found = [it[name] for it in rounds]
        yield name, {"seconds": found, **spread(found)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="write the runs here, and stay"
    )
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    if arguments.keep:
        fill(arguments.keep)
        return
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name) / "runs")
        found = dict(measured(Path(name) / "runs", arguments.repeats))
    runs = EXPERIMENTS * SEEDS + ARMS * SEEDS_OF_ARM
    rows = [
        [name, *(f"{it[key]:.2f}" for key in ("median", "min", "max"))]
        for name, it in found.items()
    ]
    report = {**origin(), "runs": runs, "repeats": arguments.repeats, "commands": found}
    publish(table((f"{runs:,} runs", "median s", "least", "most"), rows), report, arguments.out)


if __name__ == "__main__":
    main()
