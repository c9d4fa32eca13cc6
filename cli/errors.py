"""How every way to fail looks at the terminal, and the exit code that it has."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

import typer
from rich.text import Text

from mnist_arch.errors import (
    ExitCode,
    FailureKind,
    MnistArchError,
    Origin,
    Problem,
    SpecError,
)
from mnist_arch.failures import explain

from .consoles import stderr
from .flags import in_flags
from .prose import say
from .quoting import printable, quoted

DONE, INTERRUPTED, PIPE_CLOSED = 0, 130, 141
ANSWER_IS_NO, BAD_INPUT, MACHINE_CANNOT, OUR_BUG = ExitCode
"""Of failures, each of which has one of these by its kind."""

EXIT_CODES_HELP: Final = (
    "Exit codes: 0 done · 1 the answer is no (over budget, a required rule missed, a loss not "
    "finite, a trial failed) · "
    "2 bad input · 3 the machine cannot (data, disk, device) · 70 a bug of this program · "
    "130 interrupted · 141 the reader closed the pipe."
)

# Typer carries its own copy of Click, which is not to be imported: this is its UsageError.
UsageError: Final[Any] = typer.BadParameter.__base__


class Interrupted(Exception):
    """Ctrl-C, with what there is to know about resuming."""

    def __init__(self, *, hint: str = "") -> None:
        super().__init__("interrupted")
        self.hint = hint


def report(error: MnistArchError, *, as_json: bool) -> int:
    """Prints an error of the library on stderr and returns its exit code."""
    problems = (
        error.problems if isinstance(error, SpecError) else (Problem(str(error), hint=error.hint),)
    )
    _print(error.kind, problems, error.kind.exit_code, as_json=as_json)
    return error.kind.exit_code


def report_interrupt(error: Interrupted, *, as_json: bool) -> int:
    """Prints that the user ended the command."""
    _print("Interrupted", (Problem(str(error), hint=error.hint),), INTERRUPTED, as_json=as_json)
    return INTERRUPTED


def report_usage(error: Any, arguments: Sequence[str], *, as_json: bool) -> int:
    """Prints an error in the command line itself, which had these arguments."""
    from .usage import way_out

    message = error.format_message().replace("Value error, ", "")  # pydantic's words
    message = re.sub(r" \((Possible options|Did you mean).*\)$", "", message)  # a word nearby
    problem = Problem(message, hint=way_out(error, arguments))
    _print("UsageError", (problem,), BAD_INPUT, as_json=as_json)
    return BAD_INPUT


def report_unexpected(error: BaseException, *, as_json: bool) -> int:
    """Prints what is no error of the library: a refusal of the machine, which can meet any call, or
    else our own mistake, with the traceback that helps to mend it.
    """
    import traceback

    it = explain(error)
    if it.kind is not FailureKind.BUG:
        problem = Problem(it.message, hint=it.hint)
        _print(it.kind, (problem,), it.kind.exit_code, as_json=as_json)
        return it.kind.exit_code
    where = "".join(traceback.format_tb(error.__traceback__)[-3:])
    problem = Problem(
        f"this is a bug in mnist-arch: {type(error).__name__}: {error}",
        hint=f"please report it with these lines:\n{where.rstrip()}",
    )
    _print(type(error).__name__, (problem,), OUR_BUG, as_json=as_json)
    return OUR_BUG


def _in_flags(problem: Problem) -> Problem:
    """The problem in the words of the terminal."""
    origin = problem.origin
    if not isinstance(origin, Origin):
        origin = in_flags(origin)
    message = problem.message  # may have the name of an arm, such as `epochs=3`
    if "choose={" in message:
        message = in_flags(message)
    return Problem(message, problem.place, origin, in_flags(problem.hint))


def _print(kind: str, problems: tuple[Problem, ...], code: int, *, as_json: bool) -> None:
    problems = tuple(map(_in_flags, problems))
    if as_json:
        found = list(map(_values, problems))
        content = {"format": 1, "error": kind, "exit_code": code, "problems": found}
        sys.stderr.write(json.dumps(content, indent=2, sort_keys=True) + "\n")
        return
    console = stderr()
    for problem in problems:
        say(console, f"error: {printable(str(problem))}", style="bold red")
        if problem.origin:
            for line in quoted(problem.origin, width=console.width):
                console.print(Text(line), soft_wrap=True)
        if problem.hint:
            first, *more = problem.hint.split("\n")
            say(console, printable(first), label="hint: ")
            for line in more:
                console.print(Text(printable(line)), soft_wrap=True)


def _values(problem: Problem) -> dict[str, object]:
    """A problem as JSON: line and column from 1, and the line as it was written, where known."""
    place = problem.origin if isinstance(problem.origin, Origin) else None
    return {
        "message": problem.message,
        "path": problem.place,
        "where": problem.origin,
        "line": place and place.line,
        "column": place and place.column,
        "source": place and place.quoted,
        "hint": problem.hint,
    }
