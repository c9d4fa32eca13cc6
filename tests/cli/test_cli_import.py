"""`mnist-arch import` at the terminal: streams, files and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from mnist_arch_cli.app import app

SMALL = str(Path(__file__).parents[1] / "fixtures/tables/small.torchsummary.txt")


def test_the_spec_goes_to_stdout_and_notes_to_stderr() -> None:
    result = CliRunner().invoke(app, ["import", SMALL, "--dropout", "0.1"])
    assert result.exit_code == 0
    assert result.stdout.startswith("# Imported from ")
    assert "assumed: norms have the defaults of torch" in result.stderr


def test_a_file_is_written_and_only_an_own_one_again(tmp_path: Path) -> None:
    out = tmp_path / "mine.yaml"
    arguments = ["import", SMALL, "--dropout", "0.1", "--out", str(out)]
    for _ in range(2):
        result = CliRunner().invoke(app, arguments)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "next: mnist-arch summary" in result.stderr
    assert CliRunner().invoke(app, ["summary", str(out)]).exit_code == 0
    out.write_text("name: mine\n")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "was not written by an import" in result.stderr


def test_json_has_what_was_assumed() -> None:
    result = CliRunner().invoke(app, ["import", SMALL, "--dropout", "0.1", "--json"])
    content = json.loads(result.stdout)
    assert content["format"] == 1
    assert content["exact"] is True
    assert content["parameters"] == 2416
    assert content["spec"]["blocks"][0]["pool"] == "max"


def test_stdin_is_read() -> None:
    text = Path(SMALL).read_text()
    result = CliRunner().invoke(app, ["import", "-", "--dropout", "0.1"], input=text)
    assert result.exit_code == 0
    assert "name: imported" in result.stdout


def test_what_is_open_ends_with_2_and_partial_with_0() -> None:
    result = CliRunner().invoke(app, ["import", SMALL])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--dropout RATE" in result.stderr
    result = CliRunner().invoke(app, ["import", SMALL, "--partial"])
    assert result.exit_code == 0
    assert "missing: the rate of Dropout-4" in result.stderr


def test_bad_answers_and_files_end_with_2(tmp_path: Path) -> None:
    for arguments in (["--choose", "x"], ["--choose", "=1"], ["--dropout", "2"]):
        assert CliRunner().invoke(app, ["import", SMALL, *arguments]).exit_code == 2
    assert CliRunner().invoke(app, ["import", str(tmp_path / "no.txt")]).exit_code == 2
