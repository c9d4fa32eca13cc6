"""What `mnist-arch sweep` shows of a sweep that is planned, that runs, or that has run."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import typer

from mnist_arch.runs.folder import runs_folder
from mnist_arch.sweeps.ledger import TrialStatus
from mnist_arch.sweeps.standings import Leaderboard
from mnist_arch.verbs.sweep import (
    SweepAnswer,
    SweepRequest,
    look,
    refuse,
    source_of_another,
    sweep,
)

from .. import caller, command_line, errors
from ..consoles import answering, stderr
from ..notes import NotesInLines
from ..options import ProgressChoice
from .board import show_board
from .display import make_sweep_display
from .plan import print_plan

__all__ = ["Shown", "SweepRequest", "run", "show_again", "show_plan"]


@dataclass(frozen=True)
class Shown:
    """How the answer is printed."""

    as_json: bool
    as_csv: bool


def show_plan(request: SweepRequest, *, as_json: bool) -> None:
    """Prints every arm, and how long all of it will take."""
    request.ledger.check_format()
    plan = request.plan_now()
    workers = request.workers_on(request.device_wanted, plan)
    show = partial(print_plan, plan, request.ledger, workers=workers, as_json=as_json)
    if not as_json:  # for which stdout is empty where there is an error
        show()
    refuse(request, plan)
    if as_json:
        show()


def show_again(request: SweepRequest, shown: Shown) -> None:
    """Prints the leaderboard by what is in the ledger."""
    _show(look(request, display=NotesInLines(stderr())), request, shown)


def run(request: SweepRequest, shown: Shown, *, quiet: bool, progress: ProgressChoice) -> None:
    """Runs what is left of the sweep and prints its leaderboard.

    Exits with 1 if a trial failed, with 70 if that is a bug.
    """
    silent = shown.as_json or shown.as_csv
    display = make_sweep_display(quiet=quiet, progress=progress, as_json=silent)
    with _interruptible():
        answer = sweep(request, display=display, caller=caller())
    with answering(f"the leaderboard is kept in {request.ledger.folder}"):
        _show(answer, request, shown)
    if answer.board.exit_code is not None:
        raise typer.Exit(answer.board.exit_code)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """On Ctrl-C says how to resume: what is not finished is not lost."""
    try:
        yield
    except KeyboardInterrupt:
        command = shlex.join(command_line())
        raise errors.Interrupted(hint=f"resume with the same command: {command}") from None


def _show(answer: SweepAnswer, request: SweepRequest, shown: Shown) -> None:
    show_board(
        answer.board,
        request.ledger.folder,
        of_another=source_of_another(request, answer.plan),
        next_command=_next(answer.board, request),
        as_json=shown.as_json,
        as_csv=shown.as_csv,
    )


def _next(board: Leaderboard, request: SweepRequest) -> str:
    """The command that one is likely to want after a leaderboard."""
    if board.states.get(TrialStatus.RUNNING, 0):
        return command_of(request, "--show")
    if board.states.get(TrialStatus.WAITING, 0):
        return command_of(request)
    if board.failed:
        return command_of(request, "--retry-failed")
    if board.standings and (first := board.standings[0]).rank:
        folder = request.ledger.folder / (first.final or first.trials)[0].folder
        return shlex.join(["mnist-arch", "eval", str(folder)])
    return command_of(request, "--show", "--csv")


def command_of(request: SweepRequest, *more: str) -> str:
    """What is asked for next of the same sweep."""
    given = {
        "--dataset": request.dataset,
        "--epochs": request.epochs,
        "--out": None if request.parent == runs_folder(None) else request.parent,
    }
    if "--show" not in more:
        given |= {
            "--workers": request.workers,
            "--executor": "ray" if request.on_ray else None,
            "--ray-address": request.ray_address,
            "--data-dir": request.data_dir,
            "--device": None if request.device == "auto" else request.device,
        }
    options = [
        text
        for option, value in given.items()
        if value is not None
        for text in (option, str(value))
    ]
    return shlex.join(["mnist-arch", "sweep", str(request.file), *options, *more])
