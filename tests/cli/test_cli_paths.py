"""Every command, and every option that takes a path, with paths that people have."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_runs import make_run, tiny
from typer.testing import CliRunner, Result
from users import without_the_rights_of_root

from mnist_arch.runs.folder import Run
from mnist_arch_cli import command_line
from mnist_arch_cli.app import app

SWEEP = "base: {extends: s6}\ngrid: {defaults.dropout: [0.0]}\ndataset: mnist-5k\n"

# Where a path stands in a command, and what its suffix has to be. Options that are read late, after
# torch and images, stand in the commands that read them without.
PLACES: dict[str, tuple[list[str], str]] = {
    "summary SPEC": (["summary", "{}"], ".yaml"),
    "train SPEC": (["train", "{}"], ".yaml"),
    "train --resume": (["train", "--resume", "{}"], ""),
    "train --resume latest --runs": (["train", "--resume", "latest", "--runs", "{}"], ""),
    "train --from-manifest": (["train", "--from-manifest", "{}"], ".json"),
    "eval RUN": (["eval", "{}"], ""),
    "eval WEIGHTS": (["eval", "{}"], ".safetensors"),
    "eval --runs": (["eval", "--runs", "{}"], ""),
    "eval --gallery": (["eval", "--gallery", "{}"], ".png"),
    "sweep FILE": (["sweep", "{}", "--dry-run"], ".yaml"),
    "sweep --out": (["sweep", "sweep.yaml", "--show", "--out", "{}"], ""),
    "extends": (["summary", "extends.yaml"], ".yaml"),
}


@dataclass(frozen=True)
class Kind:
    """A kind of path that the system refuses."""

    make: Callable[[Path, str], str]
    reason: str
    hint: str


def _dangling(folder: Path, suffix: str) -> str:
    (folder / f"link{suffix}").symlink_to("gone")
    return f"link{suffix}/x{suffix}" if suffix in ("", ".png") else f"link{suffix}"


def _loop(folder: Path, suffix: str) -> str:
    (folder / "round").symlink_to("round")
    return f"round/x{suffix}"


def _below_a_file(folder: Path, suffix: str) -> str:
    (folder / "file").write_text("")
    return f"file/x{suffix}"


def _of_somebody_else(folder: Path, suffix: str) -> str:
    (folder / "theirs").mkdir(mode=0o000)
    return f"theirs/x{suffix}"


KINDS = {
    "long name": Kind(
        lambda _, it: f"{'n' * 256}{'/x' if it == '.png' else ''}{it}", "File name too long", "255"
    ),
    "long path": Kind(lambda _, it: f"{'n/' * 2_100}x{it}", "File name too long", "4,095"),
    "file as a folder": Kind(_below_a_file, "Not a directory", "file is a file, not a folder"),
    "loop": Kind(_loop, "Too many levels of symbolic links", "a link that leads back to itself"),
    "not to be entered": Kind(_of_somebody_else, "Permission denied", "theirs belongs to "),
    "no such user": Kind(lambda _, it: f"~no-such-user/x{it}", "not known which folder", "HOME"),
}


@pytest.fixture
def here(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(open_folder)
    (open_folder / "sweep.yaml").write_text(SWEEP)
    return open_folder


def run(place: str, path: str) -> Result:
    command, _ = PLACES[place]
    if place == "extends":
        Path("extends.yaml").write_bytes(os.fsencode(f"extends: '{path}'\n"))
    return CliRunner().invoke(app, [word.format(path) for word in command])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_a_path_that_the_system_refuses_is_answered_with_its_reason(
    here: Path, place: str, kind: str
) -> None:
    path = KINDS[kind].make(here, PLACES[place][1])
    with without_the_rights_of_root() if "theirs" in path else contextlib.nullcontext():
        result = run(place, path)
    assert result.exit_code in (2, 3), result.stderr
    assert KINDS[kind].reason in result.stderr
    assert KINDS[kind].hint in result.stderr.partition("hint: ")[2]
    assert "free some space" not in result.stderr
    assert "there is no" not in result.stderr.partition("hint: ")[0]


@pytest.mark.parametrize("place", PLACES)
def test_a_home_is_filled_in_wherever_a_path_may_stand(
    here: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what is said of a file in the way there, whose place in the home is named."""
    (here / "own").mkdir()
    (here / "own/file").write_text("")
    monkeypatch.setenv("HOME", str(here / "own"))
    result = run(place, f"~/file/x{PLACES[place][1]}")
    assert f"{here}/own/file is a file, not a folder" in result.stderr


@pytest.mark.parametrize("place", PLACES)
def test_without_a_home_the_others_are_as_before(
    here: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert "it is not known which folder ~ is" in run(place, f"~/x{PLACES[place][1]}").stderr
    result = run(place, f"nothing/x{PLACES[place][1]}")
    assert result.exit_code in (0, 2)
    assert "folder ~" not in result.stderr


# Where the path itself is printed, on stdout, it is the stream's to write it.
@pytest.mark.parametrize("place", [place for place in PLACES if place != "sweep --out"])
def test_a_path_of_any_bytes_is_no_bug(here: Path, place: str) -> None:
    result = run(place, os.fsdecode(b"nothing-\xff\xfe/x") + PLACES[place][1])
    assert result.exit_code in (0, 2), result.stderr


def test_a_link_to_nothing_says_so(here: Path) -> None:
    (here / "link.yaml").symlink_to("gone.yaml")
    for place in ("summary SPEC", "train SPEC", "sweep FILE", "extends"):
        result = run(place, "link.yaml")
        assert "link.yaml is a link to gone.yaml, which is not there" in result.stderr
        assert result.exit_code == 2


def test_a_command_line_is_kept_as_text_that_any_file_can_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["mnist-arch", "train", os.fsdecode(b"a\xff.yaml")])
    assert command_line() == ["mnist-arch", "train", "a\\xff.yaml"]


# ----------------------------------------------------------------------------------------- looking


@pytest.fixture
def finished(here: Path) -> Run:
    """A finished run in a folder in which nobody may write."""
    run: Run = make_run(here / "runs", tiny())
    for folder in (run.folder, here / "runs"):
        folder.chmod(0o555)
    return run


def test_a_sweep_is_shown_where_one_may_only_read(here: Path) -> None:
    folder = here / "runs" / "sweep"
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    with without_the_rights_of_root():
        result = CliRunner().invoke(app, ["sweep", "sweep.yaml", "--show"])
    assert result.exit_code == 0, result.stderr
    assert os.listdir(folder) == []


def test_runs_that_may_not_be_entered_do_not_hide_those_that_may(finished: Run) -> None:
    from mnist_arch.errors import NotAllowed
    from mnist_arch.runs.folder import all_runs

    parent = finished.folder.parent
    parent.chmod(0o755)
    theirs = parent / "theirs-12345678-s0"
    theirs.mkdir(mode=0o000)
    with without_the_rights_of_root():
        assert all_runs(parent) == [finished]
    finished.folder.chmod(0o000)
    with without_the_rights_of_root(), pytest.raises(NotAllowed) as caught:
        all_runs(parent)
    assert os.strerror(errno.EACCES) in str(caught.value)
