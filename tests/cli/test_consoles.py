"""Where progress goes, and whether it is live there."""

from __future__ import annotations

import io

import pytest

from mnist_arch_cli.consoles import progress_console
from mnist_arch_cli.options import ProgressChoice
from mnist_arch_cli.sweep.display import LiveSweepDisplay, SweepDisplay, make_sweep_display
from mnist_arch_cli.train.display import Display, LiveDisplay, make_display

AUTO, LIVE, PLAIN = ProgressChoice

KERNEL = {
    "JPY_PARENT_PID": "78",
    "TERM": "xterm-color",
    "CLICOLOR": "1",
    "FORCE_COLOR": "1",
    "CLICOLOR_FORCE": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
"""What a kernel exports to its commands, which also have a pseudo-terminal."""


class Stream(io.StringIO):
    """A stream that is a terminal, or is none."""

    encoding = "utf-8"

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


def connect(monkeypatch: pytest.MonkeyPatch, *, to_terminal: bool) -> None:
    """Puts another stream in the place of stderr; not before the test, as pytest does so then."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", Stream(to_terminal))


either = pytest.mark.parametrize("on_terminal", [True, False], ids=["terminal", "pipe"])


def is_live(choice: ProgressChoice = AUTO, *, quiet: bool = False, as_json: bool = False) -> bool:
    return progress_console(choice, quiet=quiet, as_json=as_json)[1]


def is_silent(choice: ProgressChoice = AUTO, *, as_json: bool) -> bool:
    return progress_console(choice, quiet=False, as_json=as_json)[0].quiet


@either
def test_progress_is_live_on_a_terminal_alone(
    on_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, to_terminal=on_terminal)
    assert is_live() is on_terminal
    assert is_live(as_json=True) is on_terminal
    assert not is_live(quiet=True)


@either
def test_json_has_no_lines_that_nobody_asked_for(
    on_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, to_terminal=on_terminal)
    assert not is_silent(as_json=False)
    assert is_silent(as_json=True) is not on_terminal
    assert not is_silent(PLAIN, as_json=True)
    assert not is_silent(LIVE, as_json=True)


@either
def test_what_is_asked_for_is_done(on_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, to_terminal=on_terminal)
    assert is_live(LIVE)
    assert not is_live(LIVE, quiet=True)
    assert not is_live(PLAIN)
    for make, live, plain in (
        (make_display, LiveDisplay, Display),
        (make_sweep_display, LiveSweepDisplay, SweepDisplay),
    ):
        assert type(make(quiet=False, progress=LIVE, as_json=False)) is live
        assert type(make(quiet=False, progress=PLAIN, as_json=False)) is plain
        assert type(make(quiet=True, progress=LIVE, as_json=False)) is plain


@pytest.mark.parametrize(
    "variables",
    [
        KERNEL,
        {"JPY_PARENT_PID": "78"},
        {"COLAB_RELEASE_TAG": "release-colab"},
        {"MPLBACKEND": "module://ipykernel.pylab.backend_inline"},
        {name: KERNEL[name] for name in ("TERM", "CLICOLOR_FORCE", "GIT_PAGER")},
        {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"},
        {"CI": "true"},
        {"TF_BUILD": "True"},
        {"TERM": "dumb"},
        {"TERM": "unknown", "FORCE_COLOR": "1"},
    ],
    ids=lambda variables: " ".join(list(variables)[:2]),
)
def test_nobody_watches_a_notebooks_terminal_or_that_of_a_server(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, to_terminal=True)
    assert is_live()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not is_live()
    assert is_live(LIVE)


@pytest.mark.parametrize("variables", [{"CI": "false"}, {"CI": ""}, {"MPLBACKEND": "qtagg"}])
def test_what_says_nothing_of_that_changes_nothing(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, to_terminal=True)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_live()


def test_force_color_colours_and_does_not_animate(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(False)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR")
    display = make_display(quiet=False)
    with display.working("loading"):
        display.note("a note")
        display.console.print("[red]red[/]")
    assert stream.getvalue() == "a note\n\x1b[31mred\x1b[0m\n"
