"""`mnist-arch runs` at the terminal."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from tiny_runs import make_run, tiny
from typer.testing import CliRunner, Result

from mnist_arch_cli.app import app


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["runs", *arguments])


def test_runs_are_a_table_json_or_csv() -> None:
    make_run(Path("runs"), tiny("a"), seed=0)
    make_run(Path("runs"), tiny("a"), seed=1)
    text = invoke().stdout
    assert "50.000 ± 0.000 (2)" in text
    assert "1 experiment, 2 runs" in text
    (found,) = json.loads(invoke("--json").stdout)["experiments"]
    assert (found["name"], found["accuracy_percent"]) == ("a", 50.0)
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    rows = list(csv.DictReader(io.StringIO(invoke("list", "--csv").stdout)))
    assert [(row["seed"], row["mean_percent"]) for row in rows] == [("0", "50.0"), ("1", "50.0")]


def test_experiments_of_one_name_are_shown_by_what_tells_them_apart() -> None:
    digests = [
        make_run(Path("runs"), tiny("a", recipe={"epochs": epochs})).manifest().digest
        for epochs in (3, 4)
    ]
    make_run(Path("runs"), tiny("b"))
    shown = {line.split()[0] for line in invoke().stdout.splitlines()[2:5]}
    assert shown == {f"a-{digests[0][:8]}", f"a-{digests[1][:8]}", "b"}


def test_nothing_is_said_to_be_there() -> None:
    assert invoke().stdout == "there is no run in runs\n"
    for arguments in (("--runs", "nowhere"), ("list", "--runs", "nowhere", "--json")):
        result = invoke(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "there is no folder nowhere" in result.stderr
    make_run(Path("runs"), tiny("a"))
    assert invoke("list", "b").stdout == "no run in runs is like that\n"


def test_a_narrow_terminal_loses_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "a-network-with-quite-a-long-name-of-many-words"):
        make_run(Path("runs"), tiny(name))
    monkeypatch.setenv("COLUMNS", "60")
    lines = invoke().stdout.splitlines()
    assert max(map(len, lines)) <= 60
    assert "many-words" in "".join(lines)


def test_each_way_to_fail_has_its_code() -> None:
    make_run(Path("runs"), tiny("a"))
    for arguments, code in {
        ("rename", "a", "b c"): 2,
        ("compare", "nothing"): 2,
        ("remove",): 2,
        ("list", "--csv", "--json"): 2,
        ("--sort", "speed"): 2,
        ("rename", "a", "b"): 0,
        ("compare", "b"): 0,
        ("compare", "b", "b"): 2,
        ("pack", "b", "--out", "claim.zip"): 0,
        ("remove", "b"): 0,
        ("remove", "--empty-bin"): 0,
    }.items():
        assert invoke(*arguments).exit_code == code, arguments
