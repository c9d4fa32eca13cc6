"""Sweeps on nodes that `ray start` has started: with and without a token, and without a head."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_nodes import HEAD, Machines, free_port, machines
from waiting import wait_until

from mnist_arch.data.load import load_split

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.gate]

DOCS = Path(__file__).parents[2] / "docs/sweeps.md"
TEXT = """
base:
  blocks: [{channels: [4], stride: 4}]
  head: {pool: flatten, linear: true}
  recipe: {epochs: EPOCHS, batch_size: 20, schedule: {peak: 0.05}}
grid: {recipe.schedule.peak: [0.05, 0.1]}
name: small
dataset: mnist-5k
holdout: 3900
seeds: 2
budget: {epochs_below: 10000}
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machines]:
    pytest.importorskip("ray", reason="needs the extra ray")
    load_split("mnist-5k", "train")  # leaves the parsed sample in the cache
    (tmp_path / "experiments.yaml").write_text(TEXT.replace("EPOCHS", "8"))
    (tmp_path / "long.yaml").write_text(TEXT.replace("EPOCHS", "3000"))
    with machines() as found:
        yield found


def recipes(port: int) -> list[list[str]]:
    """The commands below the heading of Ray, by their pieces, in the order of the documentation."""
    text = DOCS.read_text().partition("**On a Ray cluster**")[2].partition("\n## ")[0]
    text = text.replace("<first machine>", "127.0.0.1").replace("6379", str(port))
    pieces = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [
        [command for line in piece.splitlines() if (command := line.partition("#")[0].strip())]
        for piece in pieces
    ]


def assert_done(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^trials +4 DONE$", result.stdout, re.MULTILINE), result.stdout


def assert_refused_for_the_token(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 3, result.stderr
    assert result.stderr.count("error: ") == 1
    assert "token" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.by_hand
def test_the_documented_way_with_a_token(here: Machines, tmp_path: Path) -> None:
    """Word for word, but for the port, and that the second machine is this one.

    Then another user, without the token.
    """
    port = free_port()
    (start, join, sweep), (generate, copy, export) = recipes(port)
    assert start.startswith("ray start --head")
    assert copy.startswith("scp ~/.ray/auth_token")
    for command in (f"{generate} && {export} && {start}", f"{export} && {join}"):
        result = here.run(command, cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
    assert_done(here.run(f"{export} && {sweep}", cwd=tmp_path))

    other = here.folder / "other"
    other.mkdir()
    sweep = sweep.replace("auto", f"127.0.0.1:{port}") + " --out others"
    given = {"HOME": str(other), "RAY_AUTH_MODE": "token"}
    assert_refused_for_the_token(here.run(sweep, cwd=tmp_path, **given))
    assert not (tmp_path / "others/small/leaderboard.json").exists()
    assert not (other / ".ray/auth_token").exists()


@pytest.mark.by_hand
def test_the_documented_way(here: Machines, tmp_path: Path) -> None:
    start, join, sweep = recipes(free_port())[0]
    for command in (start, join):
        result = here.run(command, cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
    assert_done(here.run(sweep, cwd=tmp_path))


@pytest.mark.by_hand
@pytest.mark.parametrize("mode", ["disabled", "token"])
def test_two_nodes_by_variables_alone(here: Machines, tmp_path: Path, mode: str) -> None:
    port = free_port()
    given = {"RAY_AUTH_MODE": mode}
    if mode == "token":
        given["RAY_AUTH_TOKEN"] = "0123456789abcdef" * 4
    here.start(*HEAD, "--port", str(port), "--node-ip-address", "127.0.0.1", **given)
    here.start("--address", f"127.0.0.1:{port}", "--node-ip-address", "127.0.0.1", **given)
    sweep = f"mnist-arch sweep experiments.yaml --executor ray --ray-address 127.0.0.1:{port}"
    if mode == "token":
        assert_refused_for_the_token(here.run(sweep, cwd=tmp_path, RAY_AUTH_MODE=mode))
    assert_done(here.run(sweep, cwd=tmp_path, **given))
    assert not (Path(here.environment["HOME"]) / ".ray/auth_token").exists()


@pytest.mark.by_hand
def test_a_head_that_is_killed(here: Machines, tmp_path: Path) -> None:
    """Ray ends its driver, which is none of the command; the same command resumes, elsewhere."""
    port = free_port()
    given = {"RAY_AUTH_MODE": "disabled"}
    head = (*HEAD, "--port", str(port), "--node-ip-address", "127.0.0.1")
    here.start(*head, **given)

    def kill_the_head() -> None:
        wait_until(lambda: list(tmp_path.glob("runs/small/*/metrics.jsonl")))
        for process in here.processes():
            if process.name() in ("raylet", "gcs_server"):
                process.kill()

    killer = threading.Thread(target=kill_the_head)
    killer.start()
    sweep = f"mnist-arch sweep long.yaml --json --executor ray --ray-address 127.0.0.1:{port}"
    result = here.run(sweep, cwd=tmp_path, **given)
    killer.join()
    assert result.returncode == 3, result.stderr
    assert result.stdout == ""
    (problem,) = json.loads(result.stderr)["problems"]
    assert f"the Ray cluster at 127.0.0.1:{port} " in problem["message"]
    assert problem["hint"].endswith("the same command resumes")
    assert list(tmp_path.glob("runs/small/*/failure.json")) == []
    here.end()
    plan = here.run("mnist-arch sweep long.yaml --show", cwd=tmp_path)
    assert re.search(r"^trials +4 WAITING$", plan.stdout, re.MULTILINE), plan.stdout
