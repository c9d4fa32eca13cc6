"""What a word names, whoever asks: the runs of a name, a network that ships, a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_runs import make_run, tiny

from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import RunError, SpecError
from mnist_arch.runs.find import find
from mnist_arch.runs.folder import runs_folder
from mnist_arch.runs.resolve import Named, find_run, find_spec, resolve
from mnist_arch.spec.overrides import override
from mnist_arch.zoo.index import Shipped, zoo


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


RUNS = Path("runs")


def test_runs_are_where_one_says_else_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runs_folder(None) == RUNS
    for variable, folder in {"": RUNS, "else": Path("else"), "~/x": tmp_path / "x"}.items():
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("MNIST_ARCH_RUNS", variable)
        assert runs_folder(None) == folder
        assert runs_folder(Path("given")) == Path("given")


def test_every_kind_of_word() -> None:
    run = make_run(RUNS, tiny("net.5"))
    meanings = {
        "zoo/s6": Shipped(zoo()["s6"].folder),
        "s6": Named("s6", RUNS),
        "nothing": Named("nothing", RUNS),
        "net.5": Named("net.5", RUNS),
        "net.6": Path("net.6"),
        run.folder.name: run,
        str(run.folder): run.folder,
        "zoo/mine.yaml": Path("zoo/mine.yaml"),
        "./zoo/s6": Path("zoo/s6"),
        "zoo/s6/spec.yaml": Path("zoo/s6/spec.yaml"),
        "mine.yaml": Path("mine.yaml"),
    }
    for word, meaning in meanings.items():
        assert resolve(word, runs=RUNS) == meaning, word


def test_a_network_that_does_not_ship_is_refused_with_the_nearest_one() -> None:
    for ask in (lambda: resolve("zoo/s66", runs=RUNS), lambda: find_spec("zoo/s66", runs=RUNS)):
        with pytest.raises(SpecError, match="no network is named 'zoo/s66'") as caught:
            ask()
        assert caught.value.problems[0].hint == "did you mean `zoo/s6`?"
    Path("zoo/s66").mkdir(parents=True)
    with pytest.raises(SpecError) as caught:
        resolve("zoo/s66", runs=RUNS)
    assert caught.value.problems[0].hint == "did you mean the path `./zoo/s66`?"


def test_weights_of_a_name_are_of_its_latest_finished_run() -> None:
    make_run(RUNS, tiny("a"), seed=0, started="2026-01-01")
    make_run(RUNS, tiny("a"), seed=1, started="2026-01-02")
    make_run(RUNS, tiny("a"), seed=2, started="2026-01-03", finished=False)
    assert find("a", runs=RUNS).seed == 1
    assert find_run("a", runs=RUNS).folder.name.endswith("-s2")
    assert find_run("latest", runs=RUNS).folder.name.endswith("-s2")


def test_weights_that_ship_stand_behind_those_of_a_run() -> None:
    shipped = zoo()["s6"].weights_path
    assert (find("s6", runs=RUNS).weights, find("zoo/s6", runs=RUNS).weights) == (shipped, shipped)
    run = make_run(RUNS, tiny("s6"))
    assert find("s6", runs=RUNS).run == run
    assert find("zoo/s6", runs=RUNS).weights == shipped


def test_a_network_that_ships_without_weights_says_so() -> None:
    with pytest.raises(RunError, match="zoo/s6-large-batch has no run in runs"):
        find("zoo/s6-large-batch", runs=RUNS)
    make_run(RUNS, tiny("s6-large-batch"))
    with pytest.raises(RunError, match="its weights are not part of this program"):
        find("zoo/s6-large-batch", runs=RUNS)


def test_a_spec_that_ships_stands_before_that_of_a_run() -> None:
    """What is counted and trained does not depend on what was trained before."""
    make_run(RUNS, tiny("s6"))
    for name in ("s6", "zoo/s6"):
        assert plan_network(find_spec(name, runs=RUNS).experiment).parameters == 18_666


def test_the_spec_of_a_name_that_does_not_ship_is_that_of_its_latest_run() -> None:
    with pytest.raises(SpecError, match="no network is named 'a'"):
        find_spec("a", runs=RUNS)
    first = make_run(RUNS, tiny("a"), started="2026-01-01", finished=False)
    assert find_spec("a", runs=RUNS).experiment == tiny("a")
    finished = make_run(RUNS, tiny("a", holdout=20), started="2026-01-02")
    make_run(RUNS, tiny("a", holdout=30), started="2026-01-03", finished=False)
    for word in ("a", finished.folder.name, str(finished.folder)):
        assert find_spec(word, runs=RUNS).experiment.holdout == 20, word
    assert find_spec(str(first.folder), runs=RUNS).experiment.holdout == 0


def test_overrides_stand_above_the_spec_of_a_run() -> None:
    make_run(RUNS, tiny("a"))
    change = override("recipe.epochs", 3, origin="--epochs")
    found = find_spec("a", runs=RUNS, overrides=[change])
    assert found.experiment.recipe.epochs == 3
    assert found.origins == {"recipe.epochs": "--epochs"}
    change = override("recipe.epoch", 3, origin="--set recipe.epoch=3")
    with pytest.raises(SpecError, match="unknown key `epoch`"):
        find_spec("a", runs=RUNS, overrides=[change])


def test_there_is_no_run_to_go_on_with() -> None:
    for word, said in {
        "latest": "there is no run in runs",
        "s6": "there is no run of s6 in runs",
        "zoo/s6": "zoo/s6 is a network that ships, not a run",
    }.items():
        with pytest.raises(RunError, match=said):
            find_run(word, runs=RUNS)
