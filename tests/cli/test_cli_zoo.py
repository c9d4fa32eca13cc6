"""`mnist-arch zoo`: no image is read for it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from mnist_arch.zoo.index import zoo
from mnist_arch_cli.app import app

RUN = CliRunner()


@pytest.mark.slow
def test_every_entry_is_a_line_with_its_evidence() -> None:
    text = RUN.invoke(app, ["zoo"]).stdout
    assert all(name in text for name in zoo())
    assert "99.626 ± 0.021 (5)" in text
    assert "≥ 99.4 %: kept" in text
    found = json.loads(RUN.invoke(app, ["zoo", "--json"]).stdout)["networks"]
    (s6,) = (it for it in found if it["name"] == "s6")
    assert (s6["seeds"], s6["correct"][0], s6["epochs"]) == ([0, 1, 2, 3, 4], 9963, 19)
    assert s6["crossed_bound_percent"] < s6["bound_percent"] < s6["mean_percent"]


@pytest.mark.slow
def test_a_narrow_terminal_loses_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = RUN.invoke(app, ["zoo"]).stdout
    assert max(map(len, text.splitlines())) <= 60
    assert all(number in text for number in ("18,666", "6,049,088", "99.606", "99.540"))


@pytest.mark.parametrize("name", ["s6", "zoo/s6"])
def test_show_prints_the_spec_as_it_is(name: str) -> None:
    assert RUN.invoke(app, ["zoo", "show", name]).stdout == zoo()["s6"].spec_path.read_text()
    whole = json.loads(RUN.invoke(app, ["zoo", "show", name, "--json"]).stdout)
    assert len(whole["evidence"]["seeds"]) == 5
    assert whole["yaml"].startswith("# The reference")


def test_an_unknown_name_is_refused() -> None:
    result = RUN.invoke(app, ["zoo", "show", "s6x"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean `s6`" in result.stderr
