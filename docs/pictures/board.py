"""Prints a leaderboard that was kept alone, as `mnist-arch sweep FILE --show` would.

python docs/pictures/board.py benchmarks/results/experiments-leaderboard.json
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from mnist_arch.sweeps.standings import Leaderboard
from mnist_arch_cli.sweep.board import show_board


def main() -> None:
    board = Leaderboard.model_validate_json(Path(sys.argv[1]).read_text())
    folder = Path("runs") / board.name
    first = board.standings[0]
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        folder.mkdir(parents=True)
        for suffix in (".json", ".csv", ".png"):  # which are named where they are there
            (folder / f"leaderboard{suffix}").touch()
        show_board(
            board,
            folder,
            of_another="",
            next_command=f"mnist-arch eval {folder / (first.final or first.trials)[0].folder}",
            as_json=False,
            as_csv=False,
        )


if __name__ == "__main__":
    main()
