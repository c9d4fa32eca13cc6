"""Draws the README's pictures from what the program prints.

    python docs/pictures/make.py                        # summary.svg, training.svg, leaderboard.svg
    python docs/pictures/make.py runs/s6-1a2b3c4d-s0    # curves.png and mistakes.png of a run, too
    python docs/pictures/make.py runs/experiments       # experiments.png of a sweep, too

`summary.svg` is the output of the real command. `training.svg` is the live display, fed with the
records of seed 0 of s6 up to its 14th epoch. `leaderboard.svg` is what `--show` prints of the kept
answer of experiments.yaml. A test says when one of them is older than the code. `mistakes.png` is
the gallery of `eval`, and `curves.png` the picture of the run.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from mnist_arch.runs.folder import Run
from mnist_arch.spec.loading import load
from mnist_arch.training.events import EpochRecord, Progress
from mnist_arch_cli.train.display import LiveDisplay

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "benchmarks" / "results"
RECORDS = RESULTS / "s6-seed-0.jsonl"
BOARD = RESULTS / "experiments-leaderboard.json"
PROGRAM = [sys.executable, "-c", "from mnist_arch_cli.app import app; app(prog_name='mnist-arch')"]
EPOCHS_SHOWN = 14


# Rich's page without its web fonts: a picture is to be whole without the network.
PAGE = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def console(width: int) -> Console:
    return Console(
        record=True,
        width=width,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        no_color=False,
    )


def svg(screen: Console, *, title: str) -> str:
    return screen.export_svg(title=title, code_format=PAGE, clear=False)


def command(arguments: list[str], *, width: int, program: Sequence[str] = PROGRAM) -> Console:
    """The output of a command, as its terminal would show it; of `program`, where that is given."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(width)}
    environment.pop("NO_COLOR", None)
    done = subprocess.run(
        [*program, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    screen = console(width)
    screen.print(Text.from_ansi(done.stdout.rstrip()))
    return screen


def training() -> Console:
    """The live display in the middle of an epoch."""
    experiment = load("s6").experiment
    screen = console(98)
    display = LiveDisplay(screen)
    display.begin(experiment, seed=0, split="test")
    lines = RECORDS.read_text("utf-8").splitlines()
    for line in lines[:EPOCHS_SHOWN]:
        record = json.loads(line)
        del record["format"]
        display.epoch(EpochRecord(**record))
    last = display.records[-1]
    display.progress(
        Progress(
            epoch=EPOCHS_SHOWN + 1,
            step=400,
            steps=-(-60_000 // experiment.recipe.batch_size),
            images=60_000,
            rate=last.rate,
            images_per_second=last.images_per_second,
        )
    )
    screen.print(display.panel())
    return screen


def board() -> Console:
    """The leaderboard as `--show` prints it, of a sweep whose folder is not here."""
    program = [sys.executable, str(HERE / "board.py"), str(BOARD)]
    return command([], width=156, program=program)


def terminal() -> dict[str, str]:
    """The pictures that need nothing but the code and kept results, as SVG, by their names."""
    counted = command(["summary", "s6"], width=112)
    return {
        "summary": svg(counted, title="mnist-arch summary s6"),
        "training": svg(training(), title="mnist-arch train --epochs 19"),
        "leaderboard": svg(board(), title="mnist-arch sweep experiments.yaml --show"),
    }


def draw_run(run: Run) -> None:
    """Its curves and its mistakes."""
    shutil.copy(run.curves_path, HERE / "curves.png")
    gallery = ["--gallery", str(HERE / "mistakes.png"), "--quiet"]
    subprocess.run([*PROGRAM, "eval", str(run.folder), *gallery], check=True)


def main() -> None:
    for name, picture in terminal().items():
        (HERE / f"{name}.svg").write_text(picture, "utf-8")
    for folder in map(Path, sys.argv[1:]):
        if (folder / "sweep.json").exists():
            shutil.copy(folder / "leaderboard.png", HERE / f"{folder.name}.png")
        else:
            draw_run(Run(folder))


if __name__ == "__main__":
    main()
