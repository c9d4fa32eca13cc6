"""Options that several commands share, each said once."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from mnist_arch.data.catalog import INFO
from mnist_arch.files import expanded
from mnist_arch.spec.strict_yaml import parse
from mnist_arch.training.engine import MOST_THREADS
from mnist_arch.zoo.index import zoo_names


class DeviceChoice(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    @property
    def given(self) -> DeviceChoice | None:
        """None where it is left to the program."""
        return None if self is DeviceChoice.AUTO else self


class EngineChoice(StrEnum):
    """How steps of training run."""

    AUTO = "auto"
    PLAIN = "plain"
    COMPILED = "compiled"
    NATIVE = "native"
    FAST = "fast"

    @property
    def given(self) -> EngineChoice | None:
        """None where it is left to the program."""
        return None if self is EngineChoice.AUTO else self


class ProgressChoice(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    LIVE = "live"
    PLAIN = "plain"


def complete_spec(incomplete: str) -> list[str]:
    """Names of the zoo for the shell; files are completed by the shell itself."""
    return [name for name in zoo_names() if name.startswith(incomplete)]


def complete_dataset(incomplete: str) -> list[str]:
    """Names of datasets for the shell."""
    return [name for name in INFO if name.startswith(incomplete)]


def at_home(path: Path | None) -> Path | None:
    """The path of an option, with `~` replaced: a shell does so only at the start of a word."""
    return None if path is None else expanded(path)


def whole_number(*, least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """The parser of an option that takes a whole number, which is written without a point."""
    range_text = f"x>={least}" if most is None else f"{least}<=x<={most}"

    def parsed(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise typer.BadParameter(f"{text!r} is not a whole number")
        value = int(text)
        if (least is not None and value < least) or (most is not None and value > most):
            raise typer.BadParameter(f"{value} is not in the range {range_text}.")
        return value

    return parsed


def held_out(text: str) -> int | dict[str, Any]:
    """The parser of `--holdout`: a number of images, or folds as YAML has them."""
    if not text.lstrip().startswith("{"):
        return whole_number()(text)
    return cast("dict[str, Any]", parse(text, "--holdout").plain())


Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override a value of the spec, such as blocks.1.dropout=0.1.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, exact and unrounded.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]
ProgressOption = Annotated[
    ProgressChoice,
    typer.Option(
        "--progress",
        help="live draws in one place of the screen; plain prints lines; auto is live on a "
        "terminal, but not in a notebook or in CI.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        callback=at_home,
        help="Folder of the datasets; also MNIST_ARCH_DATA. Missing ones are downloaded into it.",
    ),
]
DeviceOption = Annotated[
    DeviceChoice, typer.Option("--device", help="auto takes cuda, then mps, then cpu.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Folder that runs are written in; MNIST_ARCH_RUNS, else runs, unless given.",
    ),
]
Runs = Annotated[
    Path | None,
    typer.Option(
        "--runs",
        metavar="FOLDER",
        help="Folder that runs are looked for in; MNIST_ARCH_RUNS, else runs, unless given.",
    ),
]
EngineOption = Annotated[
    EngineChoice,
    typer.Option(
        "--engine",
        help="plain runs operation by operation, in float32; compiled has torch compile a step"
        " for a CPU; native steps are in C++, for a CPU, from a library that is installed, or"
        " compiled once; fast is the fastest of this machine, a captured step on a GPU; auto is"
        " that where making it pays back.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        help="Threads on a CPU; as many as the work is worth and others leave free unless given.",
        parser=whole_number(least=1, most=MOST_THREADS),
    ),
]
WeightsSpec = Annotated[
    str | None,
    typer.Option(
        "--spec",
        metavar="NAME_OR_PATH",
        help="Network of a weights file that does not name its own.",
        autocompletion=complete_spec,
    ),
]
