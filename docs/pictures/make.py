"""Draws the README's pictures from what the program prints.

    python docs/pictures/make.py runs/s6-1a2b3c4d-s0
    python docs/pictures/make.py runs/experiments
    python docs/pictures/make.py benchmarks/results/experiments-leaderboard.json

`summary.svg` is the output of the real command, `mistakes.png` the gallery of `eval`, `curves.png`
the run's own picture, and `training.svg` the live display, fed with the records of that finished
run up to its 14th epoch. Of a sweep, `leaderboard.svg` is what `--show` prints, and its own picture
is copied. A leaderboard that was kept alone is printed as that of its sweep would be.
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
from mnist_arch.training.events import EpochRecord, Progress
from mnist_arch_cli.train.display import LiveDisplay

HERE = Path(__file__).parent
PROGRAM = [sys.executable, "-c", "from mnist_arch_cli.app import app; app(prog_name='mnist-arch')"]
EPOCHS_SHOWN = 14


# Rich's page without its web fonts: a picture is to be whole without the network.
PAGE = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def console(width: int) -> Console:
    return Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )


def save(screen: Console, name: str, *, title: str) -> None:
    screen.save_svg(str(HERE / f"{name}.svg"), title=title, code_format=PAGE)


def draw_command(
    name: str, arguments: list[str], *, width: int, program: Sequence[str] = PROGRAM
) -> None:
    """The output of a command, as its terminal would show it; of `program`, where that is given."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(width)}
    done = subprocess.run(
        [*program, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    screen = console(width)
    screen.print(Text.from_ansi(done.stdout.rstrip()))
    save(screen, name, title=f"mnist-arch {' '.join(arguments)}")


def draw_training(run: Run) -> None:
    """The live display in the middle of an epoch."""
    manifest = run.manifest()
    experiment = manifest.loaded.experiment
    screen = console(98)
    display = LiveDisplay(screen)
    split = "validation" if experiment.holdout else "test"
    display.begin(experiment, seed=manifest.seed, split=split)
    for record in run.metrics(epochs=EPOCHS_SHOWN):
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
    save(screen, "training", title="mnist-arch train --epochs 19")


def draw_sweep(folder: Path) -> None:
    """The leaderboard and the front."""
    file = f"{folder.name}.yaml"
    draw_command("leaderboard", ["sweep", file, "--show"], width=150)
    shutil.copy(folder / "leaderboard.png", HERE / f"{folder.name}.png")


def draw_board(file: Path) -> None:
    """The leaderboard of a sweep that is no longer there, as `--show` would print it."""
    name = json.loads(file.read_text())["name"]
    script = [sys.executable, str(HERE / "board.py"), str(file)]
    draw_command("leaderboard", ["sweep", f"{name}.yaml", "--show"], width=156, program=script)


def main() -> None:
    folder = Path(sys.argv[1])
    if folder.suffix == ".json":
        draw_board(folder)
        return
    if (folder / "sweep.json").exists():
        draw_sweep(folder)
        return
    run = Run(folder)
    draw_command("summary", ["summary", "s6"], width=112)
    draw_training(run)
    shutil.copy(run.curves_path, HERE / "curves.png")
    gallery = ["--gallery", str(HERE / "mistakes.png"), "--quiet"]
    subprocess.run([*PROGRAM, "eval", str(run.folder), *gallery], check=True)


if __name__ == "__main__":
    main()
