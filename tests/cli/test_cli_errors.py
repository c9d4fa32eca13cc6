"""Every way to fail: its exit code, its three lines, its JSON object, and an empty stdout."""

from __future__ import annotations

import ast
import errno
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mirror import put, small_mnist
from typer.testing import CliRunner, Result

from mnist_arch import errors as library
from mnist_arch.errors import MnistArchError, NonFiniteLoss, Problem, SpecError, TrialsLost
from mnist_arch_cli import errors
from mnist_arch_cli.app import app

CODES = {
    errors.DONE: 0,
    errors.ANSWER_IS_NO: 1,
    errors.BAD_INPUT: 2,
    errors.MACHINE_CANNOT: 3,
    errors.OUR_BUG: 70,
    errors.INTERRUPTED: 130,
    errors.PIPE_CLOSED: 141,
}
BROKEN = "extends: s6\nrecipe:\n  epoch: 5\nhead: {pool: maximum}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file that has two mistakes."""
    (tmp_path / "broken.yaml").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fail(*arguments: str, code: int) -> Result:
    """Runs a command that is to end with `code`, and to say nothing on stdout."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    return result


def fail_in_json(*arguments: str, code: int) -> dict[str, Any]:
    found = json.loads(fail(*arguments, "--json", code=code).stderr)
    assert set(found) == {"format", "error", "exit_code", "problems"}
    assert (found["format"], found["exit_code"]) == (1, code)
    for problem in found["problems"]:
        assert set(problem) == {"message", "path", "where", "line", "column", "source", "hint"}
    assert found["problems"]
    return dict(found)


# ------------------------------------------------------------------------------------------- codes


def tree(kind: type[MnistArchError]) -> list[type[MnistArchError]]:
    """A class and all that is under it, as the library defines them."""
    under = [other for other in kind.__subclasses__() if other.__module__ == library.__name__]
    return [kind, *(deeper for other in under for deeper in tree(other))]


def test_codes_are_those_of_the_contract() -> None:
    assert all(code == number for code, number in CODES.items())


@pytest.mark.parametrize("kind", tree(MnistArchError)[1:])
def test_every_error_has_an_exit_code(kind: type[MnistArchError]) -> None:
    if kind is TrialsLost:  # which has the kind of what has lost them
        return
    assert kind.kind == kind.__name__
    assert kind.kind.exit_code in (errors.ANSWER_IS_NO, errors.BAD_INPUT, errors.MACHINE_CANNOT)


@pytest.mark.slow
def test_the_base_of_all_errors_is_never_raised() -> None:
    """It has no exit code, so each of these must have a class of its own."""
    for path in Path(inspect.getfile(library)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                assert getattr(node.exc.func, "id", "") != "MnistArchError", path


def test_the_tree_is_drawn_whole() -> None:
    drawn = re.findall(r"^ {4}[│├└─ ]*([A-Z]\w+)", library.__doc__ or "", re.MULTILINE)
    assert drawn == [kind.__name__ for kind in tree(MnistArchError)]


def test_the_help_has_every_exit_code() -> None:
    text = " ".join(CliRunner().invoke(app, ["--help"]).stdout.replace("│", " ").split())
    start = text.index("Exit codes:")
    assert [int(word) for word in re.findall(r"\b\d+\b", text[start:])] == list(CODES.values())


# ------------------------------------------------------------------------------------- three lines


@pytest.mark.usefixtures("folder")
def test_an_error_is_plain_lines_with_the_line_that_it_is_about() -> None:
    text = fail("summary", "broken.yaml", code=2).stderr
    assert text == (
        "error: head.pool: 'maximum' is not one of the values\n"
        "  --> broken.yaml:4\n"
        "   |  head: {pool: maximum}\n"
        "   |               ^\n"
        "hint: valid: average, global-average, global-max, flatten\n"
        "error: recipe.epoch: unknown key `epoch`\n"
        "  --> broken.yaml:3\n"
        "   |    epoch: 5\n"
        "   |    ^\n"
        "hint: did you mean `epochs`? valid: augment, batch_size, clip_norm, ema, epochs, "
        "initialize, l1, label_smoothing, last_batch, normalize, optimizer, quantize, "
        "schedule, teacher\n"
    )


@pytest.mark.usefixtures("folder")
def test_a_line_is_one_line_however_narrow_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert len(fail("summary", "broken.yaml", code=2).stderr.splitlines()) == 10


def test_shapes_that_do_not_fit_are_said_with_their_line(folder: Path) -> None:
    (folder / "deep.yaml").write_text(
        "name: deep\nblocks:\n- {channels: [8], pool: {kind: max, size: 20}}\n"
        "- {channels: [8, {out: 8, kernel: 3, padding: valid}]}\n"
    )
    text = fail("summary", "deep.yaml", code=2).stderr
    assert text == (
        "error: blocks[1].channels[1]: a window of 3×3 does not fit into 8×1×1\n"
        "  --> deep.yaml:4\n"
        "   |  - {channels: [8, {out: 8, kernel: 3, padding: valid}]}\n"
        "   |                         ^\n"
        "hint: pool less, pad with `same`, or use a smaller window\n"
    )


def test_the_budget_is_three_lines_at_most() -> None:
    text = fail("train", "--epochs", "20", code=1).stderr
    assert text == (
        "error: s6: 20 epochs, 1 too many for fewer than 20\nhint: --epochs 19 would fit\n"
    )


def test_what_came_from_a_file_cannot_move_the_cursor(folder: Path) -> None:
    name = "two\nlines\x1b[31m.yaml"
    (folder / name).write_text(BROKEN)
    text = fail("summary", name, code=2).stderr
    assert "  --> two\\nlines\\x1b[31m.yaml:4\n" in text
    assert "\x1b" not in text


# --------------------------------------------------------------------------------- classes of error


@pytest.mark.usefixtures("folder")
def test_a_spec_error() -> None:
    found = fail_in_json("summary", "broken.yaml", code=2)
    assert found["error"] == "SpecError"
    assert found["problems"][1] == {
        "message": "unknown key `epoch`",
        "path": "recipe.epoch",
        "where": "broken.yaml:3",
        "line": 3,
        "column": 3,
        "source": "  epoch: 5",
        "hint": "did you mean `epochs`? valid: augment, batch_size, clip_norm, ema, epochs, "
        "initialize, l1, label_smoothing, last_batch, normalize, optimizer, quantize, "
        "schedule, teacher",
    }


def test_an_override_that_does_not_fit() -> None:
    for text in ("nothing", "blocks.7.repeat=2", "recipe.epochs=many", "=3", "recipe=[", "a..b=1"):
        stderr = fail("summary", "--set", text, code=2).stderr
        assert f"  --> --set {text}\n" in stderr


def test_a_budget_that_is_exceeded() -> None:
    found = fail_in_json("train", "--set", "blocks.0.channels.2=200", code=1)
    assert found["error"] == "BudgetExceeded"
    assert "too many for fewer than 20,000" in found["problems"][0]["message"]
    assert "would fit" in found["problems"][0]["hint"]


def test_data_that_is_damaged(tmp_path: Path) -> None:
    put(tmp_path / "MNIST" / "raw", small_mnist())
    arguments = ["train", "--dataset", "mnist", "--data-dir", str(tmp_path), "--out", str(tmp_path)]
    text = fail(*arguments, code=3).stderr
    assert text.splitlines()[-2].startswith("error: ")
    assert text.splitlines()[-1].startswith("hint: ")
    assert fail_in_json(*arguments, "--quiet", code=3)["error"] == "DataUnavailable"


def test_a_run_that_is_none(tmp_path: Path) -> None:
    found = fail_in_json("train", "--resume", str(tmp_path / "nothing"), code=2)
    assert found["error"] == "RunError"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["summary", "--frobnicate"], "No such option: --frobnicate"),
        (["train", "--epochs"], "requires an argument"),
        (["train", "--epochs", "many"], "Invalid value for '--epochs'"),
        (["train", "--device", "abacus"], "'abacus' is not one of 'auto', 'cpu', 'cuda', 'mps'"),
        (["train", "s6", "s6"], "Got unexpected extra argument"),
        (["train", "--seeds", "0"], "Invalid value for '--seeds'"),
        (["train", "--seeds", "2", "--seed", "1"], "--seeds excludes --seed"),
    ],
)
def test_a_mistake_in_the_command_line(arguments: list[str], message: str) -> None:
    text = fail(*arguments, code=2).stderr
    error, hint = text.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert re.fullmatch(r"hint: \S+( train| summary)? --help", hint)
    if arguments[0] != "frobnicate":
        assert fail_in_json(*arguments, code=2)["error"] == "UsageError"


def test_no_command_shows_the_help() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "Usage:" in result.output


# ------------------------------------------------------------------------------ bugs and interrupts


def raising(error: BaseException) -> Any:
    def stand_in(*_arguments: object, **_options: object) -> Any:
        raise error

    return stand_in


def test_a_bug_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mnist_arch_cli.summary.command.count", raising(ZeroDivisionError("of [/red] by 0"))
    )
    text = fail("summary", code=70).stderr
    assert "error: this is a bug in mnist-arch: ZeroDivisionError: of [/red] by 0\n" in text
    assert "hint: please report it" in text
    assert "in stand_in" in text
    found = fail_in_json("summary", code=70)
    assert found["error"] == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (MemoryError(), "OutOfMemory", "there is not enough memory"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "StorageError",
            "cannot write: No space",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "a/b"),
            "SystemRefused",
            "the system refuses a/b: Permission denied",
        ),
    ],
)
def test_what_the_machine_refuses_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str, message: str
) -> None:
    monkeypatch.setattr("mnist_arch_cli.summary.command.count", raising(error))
    found = fail_in_json("summary", code=3)
    assert found["error"] == kind
    (problem,) = found["problems"]
    assert problem["message"].startswith(message)
    assert problem["hint"]


def test_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_arch_cli.summary.command.count", raising(KeyboardInterrupt()))
    assert fail("summary", code=130).stderr == "error: interrupted\n"
    assert fail_in_json("summary", code=130)["error"] == "Interrupted"


def test_a_loss_that_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    error = NonFiniteLoss(epoch=2, step=7, rate=0.1)
    monkeypatch.setattr("mnist_arch_cli.summary.command.count", raising(error))
    assert fail_in_json("summary", code=1)["error"] == "NonFiniteLoss"


def test_several_problems_are_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    error = SpecError((Problem("first", "a"), Problem("second", "b", "x.yaml:2", "c")))
    monkeypatch.setattr("mnist_arch_cli.summary.command.count", raising(error))
    assert [it["path"] for it in fail_in_json("summary", code=2)["problems"]] == ["a", "b"]


# -------------------------------------------------------------------------------------- the program


def program(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, as a shell starts it."""
    command = [sys.executable, "-c", "from mnist_arch_cli.app import app; app()", *arguments]
    environment = {**os.environ, **changes}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_program_and_the_tests_see_the_same_codes() -> None:
    assert program("summary", "nothing").returncode == 2
    assert program("train", "--epochs", "20").returncode == 1
    assert program("summary").returncode == 0


def test_both_names_of_the_help_and_the_version() -> None:
    long, short = (CliRunner().invoke(app, ["summary", name]) for name in ("--help", "-h"))
    assert (long.exit_code, long.stdout) == (0, short.stdout)
    version = CliRunner().invoke(app, ["--version"])
    assert version.exit_code == 0
    assert re.fullmatch(r"mnist-arch \d+\.\d+\.\d+\S*\n", version.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("order", [("--version", "--verbose"), ("--verbose", "--version")])
def test_the_verbose_version_says_what_a_report_of_a_fault_needs(order: tuple[str, str]) -> None:
    result = CliRunner().invoke(app, order)
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    for name in ("mnist-arch", "python", "torch", "device", "threads", "engine", "data"):
        assert lines[name], name


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")  # only the child goes on
@pytest.mark.parametrize("no_colour", [True, False])
def test_colours_are_for_terminals_that_want_them(
    no_colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pexpect

    monkeypatch.setenv("TERM", "xterm-256color")
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    if no_colour:
        environment["NO_COLOR"] = "1"
    arguments = [
        "-c",
        "from mnist_arch_cli.app import app; app()",
        "summary",
        "--set",
        "recipe.epochs=20",
    ]
    child = pexpect.spawn(sys.executable, arguments, env=environment, encoding="utf-8")
    text = child.read()
    child.close()
    assert child.exitstatus == 0
    coloured = re.search(r"\x1b\[[0-9;]*3[0-7]m", text) is not None
    assert coloured is not no_colour
    assert "1,333 left" in re.sub(r"\x1b\[[0-9;]*m", "", text)
