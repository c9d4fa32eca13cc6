"""The two consoles: results go to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, assert_never

from rich.console import Console
from rich.text import Text

from mnist_arch.errors import StorageError

from .options import ProgressChoice
from .streams import plain_json, plainer, silence

PIPED_WIDTH = 160
"""Most columns of a table that is not read on a terminal; Rich would wrap it at 80."""

_NOTEBOOKS = ("JPY_PARENT_PID", "COLAB_RELEASE_TAG", "COLAB_GPU", "KAGGLE_KERNEL_RUN_TYPE")
"""Set in the environment of a kernel, which gives its `!commands` a pseudo-terminal."""
_IPYKERNEL = {"TERM": "xterm-color", "CLICOLOR_FORCE": "1", "GIT_PAGER": "cat"}
_SERVERS = ("CI", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION")
"""Set where nobody watches, and all that is printed is kept."""


def stdout() -> Console:
    return _console(stderr=False)


def stderr() -> Console:
    return _console(stderr=True)


def progress_console(choice: ProgressChoice, *, quiet: bool, as_json: bool) -> tuple[Console, bool]:
    """Where progress goes, and whether it is live: drawn in one place, not printed line by line.

    With JSON on stdout there are no lines that nobody has asked for.
    """
    is_live = not quiet and _is_live(choice)
    is_silent = quiet or (as_json and not is_live and choice is not ProgressChoice.PLAIN)
    return _console(stderr=True, quiet=is_silent, force_terminal=is_live or None), is_live


def _is_live(choice: ProgressChoice) -> bool:
    match choice:
        case ProgressChoice.LIVE:
            return True
        case ProgressChoice.PLAIN:
            return False
        case ProgressChoice.AUTO:  # on a terminal that somebody looks at
            # Not what Rich takes for a terminal, which is anything where FORCE_COLOR is set.
            on_terminal = sys.stderr.isatty() and stderr().is_interactive
            return on_terminal and not _in_notebook() and not any(map(_is_set, _SERVERS))
        case never:
            assert_never(never)


def write_data(text: str) -> None:
    """JSON or CSV on stdout, as it is: nothing is wrapped, and nothing is coloured."""
    sys.stdout.write(text)


def write_json(text: str) -> None:
    """JSON on stdout, in ASCII where the stream is not in Unicode."""
    write_data(plain_json(text, sys.stdout.encoding))


@contextlib.contextmanager
def answering(kept: str) -> Iterator[None]:
    """Within it an answer is printed that is kept in a file, too.

    Raises StorageError, with a hint that says so, where stdout cannot be written.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(sys.stdout)
        reason = error.strerror or str(error)
        hint = f"{kept}; the same command prints it again"
        raise StorageError(f"cannot write to stdout: {reason}", hint=hint) from error


class _Plain(Console):
    """Tables with plainer characters than the stream has, before they are measured."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plainer(text, self.encoding), **options)


def _console(*, stderr: bool, quiet: bool = False, force_terminal: bool | None = None) -> Console:
    # Made again at each use, since tests and pagers put another stream in the place of the old one.
    stream = sys.stderr if stderr else sys.stdout
    return _Plain(
        stderr=stderr,
        quiet=quiet,
        force_terminal=force_terminal,
        width=None if stream.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH,
        highlight=False,
        emoji=False,
    )


def _in_notebook() -> bool:
    """Whether a kernel gives this `!command` its pseudo-terminal, which keeps each frame.

    By what kernels export: variables of their own, how they draw, and what ipykernel says of its
    terminal, whoever has started it.
    """
    inline = "inline" in os.environ.get("MPLBACKEND", "")
    terminal = {name: os.environ.get(name) for name in _IPYKERNEL}
    return inline or terminal == _IPYKERNEL or any(map(_is_set, _NOTEBOOKS))


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() not in ("", "0", "false")
