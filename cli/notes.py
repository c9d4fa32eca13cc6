"""What commands say on stderr besides their progress: notes, and one warning that none can miss."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, assert_never

from rich.console import Console
from rich.rule import Rule

from mnist_arch.verbs.display import (
    BoardPutAside,
    FewerThreads,
    FewerWorkers,
    KeepsItsEngine,
    Note,
)

from . import heavy_imports
from .consoles import stderr
from .flags import in_flags
from .formats import threads_text, workers_text
from .prose import say

_WARNING: Final = 100
"""Most columns of the terminal that the warning takes."""
_NAME_A_FOLDER: Final = "name a folder that has MNIST with --data-dir or MNIST_ARCH_DATA"


@dataclass
class NotesInLines:
    """What every command shows, where nothing is live: lines."""

    console: Console
    loading_text: ClassVar[str] = "loading torch and the images"

    def note(self, note: Note) -> None:
        say(self.console, note_text(note))

    def fell_back(self, reason: str, *, way_out: str = "") -> None:
        warn_of_sample(reason, way_out=way_out or _NAME_A_FOLDER)

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        with self.working(self.loading_text), heavy_imports():
            yield

    def choosing(self) -> contextlib.AbstractContextManager[None]:
        built = "native ones that were not installed are built, which takes about five seconds"
        return self.working(f"choosing how steps run; {built}")

    def judging(self, images: int) -> contextlib.AbstractContextManager[None]:
        return self.working(f"judging {images:,} images")

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Shows that something takes a moment, which is no line."""
        yield


class LiveNotes(NotesInLines):
    """The same on a terminal, with a sign that something is being done."""

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        with self.console.status(f"{what} …", spinner="line"):
            yield


def note_text(note: Note) -> str:
    """A note in a line or two, with the flags that say otherwise."""
    match note:
        case str():
            return in_flags(note)
        case FewerThreads():
            return (
                f"{threads_text(note.threads)} instead of {note.alone}, since other programs are "
                f"at work; --threads {note.alone} says otherwise"
            )
        case KeepsItsEngine():
            what = note.steps or threads_text(note.threads)
            return f"{note.folder} keeps its {what}; --again would start it from scratch"
        case FewerWorkers():
            return f"{workers_text(note.count)}; --workers says otherwise"
        case BoardPutAside():
            return _of_a_board(note)
        case never:
            assert_never(never)


def _of_a_board(note: BoardPutAside) -> str:
    kept = f"the leaderboard of then is kept as {note.aside}"
    if note.before == note.source:
        return f"{note.source} asks for something else than last time; {kept}"
    return (
        f"the folder {note.folder} was last used by {note.before or 'another file'}, which asks "
        f"for something else; {kept}; another `name:` in the file, or --out, gives each a folder "
        "of its own"
    )


def warn_of_sample(reason: str, *, way_out: str = _NAME_A_FOLDER) -> None:
    """A warning that cannot be missed, even with --quiet: the result is not about MNIST."""
    console = stderr()
    width = min(_WARNING, console.width)
    console.print(Rule("NOT MNIST", style="bold yellow"), width=width)
    for text in (
        "This is mnist-5k, the embedded sample of 4,000 training and 1,000 test digits, in the "
        "place of MNIST. The result is not about MNIST: it has no verdict.",
        f"Why: {in_flags(reason)}",
        f"The way out: {in_flags(way_out)}.",
    ):
        say(console, text)
    console.print(Rule(style="bold yellow"), width=width)
