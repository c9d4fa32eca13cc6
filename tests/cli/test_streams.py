"""Streams in another encoding, closed, full, or without a reader; terminals of no size."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import small
from rich.table import Table
from train_command import Terminal
from train_command import mnist_arch as mnist_arch
from typer.testing import CliRunner

from mnist_arch.runs.folder import Run
from mnist_arch_cli import consoles, streams
from mnist_arch_cli.app import app
from mnist_arch_cli.streams import PLAIN, mend_streams, plain_json, plainer

ENCODINGS = ["ascii", "cp1252", "latin-1", "cp437"]

# --------------------------------------------------------------------------------------- characters


@pytest.mark.parametrize(
    ("text", "encoding", "plain"),
    [
        ("3×3 · 98.1 ± 0.2 – ≥ 99 → …", "utf-8", "3×3 · 98.1 ± 0.2 – ≥ 99 → …"),
        ("3×3 · 98.1 ± 0.2 – ≥ 99 → …", "ascii", "3x3 - 98.1 +/- 0.2 - >= 99 -> ..."),
        ("3×3 · 98.1 ± 0.2 – ≥ 99 → …", "cp1252", "3×3 · 98.1 ± 0.2 – >= 99 -> …"),
        ("3×3 · 98.1 ± 0.2 – ≥ 99 → …", "latin-1", "3×3 · 98.1 ± 0.2 - >= 99 -> ..."),
        ("▁▂▃▄▅▆▇█ ░", "cp1252", "_.:-=+*# ."),
        ("größe", "latin-1", "größe"),
        ("größe 数", "ascii", r"gr\xf6\xdfe \u6570"),
        ("r\udcff", "utf-8", r"r\xff"),  # a name of a file that is no text
    ],
)
def test_plainer_characters(text: str, encoding: str, plain: str) -> None:
    streams.mend_streams()
    assert plainer(text, encoding) == plain


def test_whatever_the_program_itself_prints_has_a_plain_form() -> None:
    """Of every character in its sources and in what Rich draws tables and bars with."""
    root = Path(__file__).parents[2]
    files = [*root.glob("cli/**/*.py"), *root.glob("mnist_arch/**/*.py")]
    used = set("".join(path.read_text("utf-8") for path in files)) | set("─━╸╺│┃")
    assert {char for char in used if not char.isascii()} <= PLAIN.keys()
    assert all(plain.isascii() for plain in PLAIN.values())


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("columns", [60, 80])  # as plain text, and in frames
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["runs", "--help"],
        ["runs", "list", "-h"],
        ["--version"],
        ["--verbose", "--version"],
        ["summary", "s6", "s6"],
    ],
)
def test_every_encoding_gets_what_it_can_have(
    encoding: str, arguments: list[str], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = CliRunner(charset=encoding).invoke(app, arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    text = result.stdout_bytes.decode(encoding)
    assert not re.search(r"\\[xu]", text)
    if arguments[0] == "summary":
        assert re.search(r"\bs6 +\|? +s6\b", text)


def test_errors_have_plainer_characters_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("deep.yaml").write_text(
        "name: deep\nblocks:\n- {channels: [8], pool: {kind: max, size: 20}}\n"
        "- {channels: [8, {out: 8, kernel: 3, padding: valid}]}\n"
    )
    result = CliRunner(charset="ascii").invoke(app, ["summary", "deep.yaml"])
    assert result.exit_code == 2
    assert "a window of 3x3 does not fit into 8x1x1" in result.stderr


@pytest.mark.slow
def test_a_training_in_ascii_keeps_its_files_in_unicode(mnist_arch: Terminal) -> None:
    mnist_arch.encoding = "ascii"
    Path("größe.yaml").write_text(f"{small.TEXT}# 3×3\n", "utf-8")
    result = mnist_arch("größe.yaml", "--seeds", "2", "--out", "größe")
    assert "seed 0 - epoch  1/3 - loss" in result.stderr
    assert " +/- " in result.stdout
    assert r"gr\xf6\xdfe" in result.stdout
    for run in Path("größe").glob("*-s?"):
        assert "größe.yaml:12" in Run(run).manifest_path.read_text("utf-8")


def test_a_table_of_plainer_characters_is_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    below = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(below, encoding="ascii"))
    mend_streams()
    table = Table("score → place", "±")
    table.add_row("≥ 99.4", "1")
    table.add_row("98.1 ± 0.2", "2")
    consoles.stdout().print(table)
    sys.stdout.flush()
    assert below.getvalue().decode().splitlines() == [
        "+----------------------+",
        "| score -> place | +/- |",
        "|----------------+-----|",
        "| >= 99.4        | 1   |",
        "| 98.1 +/- 0.2   | 2   |",
        "+----------------------+",
    ]


@pytest.mark.slow
def test_json_is_in_ascii_where_the_stream_is_not_in_unicode() -> None:
    def schema(encoding: str) -> str:
        result = CliRunner(charset=encoding).invoke(app, ["summary", "--schema"])
        assert result.exit_code == 0
        return result.stdout_bytes.decode(encoding)

    whole = schema("utf-8")
    assert "×" in whole
    for encoding in ENCODINGS:
        text = schema(encoding)
        assert text.isascii()
        assert json.loads(text) == json.loads(whole)


def test_json_is_the_same_whatever_the_characters() -> None:
    values = {"run": "größe \N{PILE OF POO}"}
    text = json.dumps(values, ensure_ascii=False)
    assert plain_json(text, "UTF-8") == text
    assert json.loads(plain_json(text, "cp1252").encode("ascii")) == values


def test_an_argument_that_is_no_text_is_no_bug(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = os.fsdecode(b"r\xff")
    monkeypatch.setattr(sys, "argv", ["mnist-arch", "train", "--out", name])
    result = mnist_arch("small.yaml", "--epochs", "1", "--out", name)
    assert r"r\xff/small-" in result.stdout
    (folder,) = Path(name).iterdir()
    assert Run(folder).manifest().command[-1] == r"r\xff"


# ------------------------------------------------------------------------------------- no terminal


@pytest.mark.parametrize("size", ["0", "", "-5", "eighty", "1", "99999999999999", "٣٠"])
@pytest.mark.parametrize("arguments", [["--help"], ["summary"], ["summary", "--json"]])
def test_a_size_that_no_terminal_has_is_as_if_unset(
    size: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")
    unset = CliRunner().invoke(app, arguments)
    assert len(unset.stdout) > 500
    for name in ("COLUMNS", "LINES"):
        monkeypatch.setenv(name, size)
    found = CliRunner().invoke(app, arguments)
    assert (found.exit_code, found.stdout) == (0, unset.stdout)


# -------------------------------------------------------------------------------- real descriptors

MAIN = "from mnist_arch_cli.app import app; app()"


def program(
    arguments: str, *, shell: str = "", options: list[str] | None = None, **changes: str
) -> subprocess.CompletedProcess[bytes]:
    """The program as a shell starts it, with redirections."""
    command = [sys.executable, *(options or []), "-c", f"'{MAIN}'", arguments, shell]
    environment = {**os.environ, **changes}
    return subprocess.run(
        ["sh", "-c", " ".join(command)], env=environment, capture_output=True, check=False
    )


@pytest.mark.slow
def test_without_utf_8_mode_nothing_is_a_bug(tmp_path: Path) -> None:
    changes = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "TYPER_USE_RICH": "1"}
    done = program("summary --help", options=["-X", "utf8=0"], **changes)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize(
    ("arguments", "code"), [("--help", 3), ("summary --json", 3), ("train --epochs 50", 1)]
)
def test_a_full_disk_behind_a_stream_has_the_right_code(arguments: str, code: int) -> None:
    assert program(arguments, shell="> /dev/full 2> /dev/full").returncode == code
    to_stdout = program(arguments, shell="> /dev/full")
    assert to_stdout.returncode == code
    assert to_stdout.stderr.count(b"error") == 1
    assert b"bug" not in to_stdout.stderr


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_nothing(closed: str, tmp_path: Path) -> None:
    """And no file that is opened later is taken for it."""
    done = program("summary nothing", shell=closed)
    assert done.returncode == 2
    assert done.stdout == b""
    assert (done.stderr == b"") == ("2" in closed)
    script = (
        "from mnist_arch_cli.streams import mend_streams; mend_streams(); print(open('f').fileno())"
    )
    (tmp_path / "f").write_text("")
    shell = f'{sys.executable} -c "{script}" {closed.replace(">&-", "").replace("2", "2>&-")}'
    done = subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, check=True)
    assert int(done.stdout or b"3") >= 3


SPEC = """
name: brief
blocks: [{channels: [4], pool: {kind: max, size: 4}}]
head: {pool: flatten, linear: true}
recipe: {epochs: 2, batch_size: 500, schedule: {peak: 0.05}}
dataset: mnist-5k
"""


@pytest.mark.gate
@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_training_is_not_lost_to_what_surrounds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kernel without its module would run it, in another encoding, with no room for notes."""
    monkeypatch.chdir(tmp_path)
    Path("brief.yaml").write_text(SPEC)
    Path("matplotlibrc").write_text("text.usetex: True\n")
    notebook = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    first = program("train brief.yaml", shell="2> /dev/full", PYTHONIOENCODING="cp1252", **notebook)
    assert first.returncode == 0
    assert b"correct" in first.stdout
    (run,) = Path("runs").iterdir()
    assert Run(run).curves_path.read_bytes().startswith(b"\x89PNG")
    full = program("train brief.yaml", shell="> /dev/full")
    assert full.returncode == 3
    assert full.stderr.decode().endswith(
        "error: cannot write to stdout: No space left on device\n"
        f"hint: the result is kept in {run}; the same command prints it again\n"
    )
    piped = program("train brief.yaml --again", shell="2>&1 | head -n 1")  # who leaves early
    assert piped.stdout.count(b"\n") == 1
    assert Run(run).is_finished
