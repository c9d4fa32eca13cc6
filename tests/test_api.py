"""The verbs in Python: the terminal's answers, in silence."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small
from tiny_runs import make_run, tiny
from train_command import PNG, no_training

import mnist_arch as ma
from mnist_arch.data.load import Loader, Resolved
from mnist_arch.errors import DataUnavailable
from mnist_arch.runs import execute as running
from mnist_arch.runs.folder import all_runs

SPEC = small.TEXT.replace("name: small\n", "").replace("mnist-5k", "mnist")
SWEEP = """
base: {extends: small.yaml}
dataset: mnist-5k
holdout: 400
seeds: 1
experiments: [{name: one, recipe: {epochs: 1}}]
"""


@pytest.fixture
def opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images_are: Callable[[Loader], None]
) -> list[str]:
    """The splits that are read, of few images that are easy to tell apart."""
    read: list[str] = []

    def load_split(name: str, split: Any, **_: Any) -> Any:
        read.append(f"{name} {split}")
        return small.synthetic(96 if split == "train" else 50, seed=len(split), name=split)

    monkeypatch.chdir(tmp_path)
    images_are(load_split)
    monkeypatch.setattr("mnist_arch.runs.finished.draw_curves", lambda *_, **__: PNG)
    Path("small.yaml").write_text(SPEC)
    return read


def test_a_summary_is_counted_without_torch() -> None:
    found = ma.summary("s6", set={"defaults.dropout": 0.1})
    assert (found.parameters, found.macs) == (18_666, 6_049_088)
    assert found.experiment.defaults.dropout.rate == 0.1
    assert found.origins["defaults.dropout"] == "set['defaults.dropout']"
    narrow = ma.summary("s6", set={"blocks": [{"channels": [4]}], "head": {"linear": True}})
    assert narrow.parameters < 1_000


@pytest.mark.slow
def test_a_summary_is_verified_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ma.summary("s6", verify=True).parameters == 18_666
    monkeypatch.setattr("mnist_arch.network.verify.count_parameters", lambda _: 1)
    with pytest.raises(AssertionError, match="18,666 parameters, torch 1"):
        ma.summary("s6", verify=True)


def test_a_rule_that_is_required_is_an_error_once_the_run_is_kept(opened: list[str]) -> None:
    with pytest.raises(ma.NoVerdict):
        ma.train("small.yaml", epochs=1, holdout=20, require=True)
    assert opened == []
    with pytest.raises(ma.RuleMissed, match="accuracy: missed"):
        ma.train("small.yaml", epochs=1, require=True, engine="plain")
    assert all(run.is_finished for run in all_runs(Path("runs")))
    lenient = {"budget.accuracy_percent": 0.0}
    score = ma.train("small.yaml", epochs=1, require=True, set=lenient, engine="plain")
    assert score.verdicts.accuracy == "kept"


def test_training_is_silent_and_gives_a_score(
    opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    score = ma.train("small.yaml", seeds=2, epochs=1, device="cpu", engine="plain")
    assert capsys.readouterr() == ("", "")
    assert (score.seeds, score.split, len(score.results)) == ([0, 1], "test", 2)
    assert score.spread_percent is not None
    assert opened == ["mnist train", "mnist test"]
    (group,) = Path("runs").glob("*-seeds2.json")
    assert json.loads(group.read_text()) == json.loads(score.json_text())
    manifest = all_runs(Path("runs"))[0].manifest()
    assert manifest.origins["recipe.epochs"] == "epochs=1"
    call = "mnist_arch.train('small.yaml', epochs=1, seeds=2, device='cpu', engine='plain')"
    assert manifest.command == [call]


@pytest.mark.slow
def test_a_finished_run_is_shown_without_its_images(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ma.train("small.yaml", epochs=1)
    opened.clear()
    monkeypatch.setattr(running, "train", no_training)
    assert ma.train("small.yaml", epochs=1) == first
    assert ma.train(resume="small") == first
    assert ma.train("small", seed=0) == first  # by its name, as the run has it
    assert opened == []
    with pytest.raises(pytest.fail.Exception, match="this trains"):
        ma.train("small.yaml", epochs=1, again=True)
    assert opened == ["mnist train", "mnist test"]


def test_a_bar_is_shown_where_it_is_asked_for(
    opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ma.train("small.yaml", epochs=2, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "small, seed 0: 100%" in shown.err
    assert "2.0/2" in shown.err


@pytest.mark.slow
def test_the_sample_in_the_place_of_mnist_is_a_warning(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Resolved("mnist-5k", "there is no network")
    monkeypatch.setattr(
        "mnist_arch.data.load.resolve_dataset",
        lambda name, **_: sample if name == "auto" else Resolved(name),
    )
    with pytest.warns(UserWarning, match="there is no network; name a folder") as caught:
        score = ma.train("small.yaml", epochs=1, dataset="auto")
    assert caught[0].filename == __file__
    assert score.verdicts.accuracy == "none"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ma.train("small.yaml", epochs=1, dataset="mnist")


@pytest.mark.slow
@pytest.mark.usefixtures("opened")
def test_what_a_name_is_judged_by(capsys: pytest.CaptureFixture[str]) -> None:
    make_run(Path("runs"), tiny("a"), seed=3)
    report = ma.evaluate("a", device="cpu")
    assert (report.trained.seed, report.split, report.evaluation.images) == (3, "test", 50)
    assert repr(report).startswith("Report(a · seed 3 · mnist test: ")
    assert "<td" in report._repr_html_()
    assert "<td" in report.evaluation._repr_html_()
    assert repr(report.evaluation).startswith("Evaluation(")
    assert repr(report.evaluation).endswith(" of 50 correct))")
    assert capsys.readouterr() == ("", "")
    assert repr(ma.evaluate("a", device="cpu", progress=True)) == repr(report)
    assert "50/50" in capsys.readouterr().err
    with pytest.raises(ma.RunError, match="no run and no network is named 'b'"):
        ma.evaluate("b")


@pytest.mark.slow
def test_a_sweep_gives_its_leaderboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SPEC)
    Path("sweep.yaml").write_text(SWEEP)
    board = ma.sweep("sweep.yaml", workers=1, device="cpu")
    assert capsys.readouterr() == ("", "")
    assert [standing.rank for standing in board.standings] == [1]
    assert ma.sweep("sweep.yaml", show=True) == board
    assert ma.sweep("sweep.yaml", workers=1, device="cpu", progress=True) == board
    marked = board.model_copy(update={"name": "<i>"})._repr_html_()
    assert "&lt;i&gt;" in marked
    assert "<i>" not in marked
    frame = board.to_frame()
    assert list(frame["name"]) == ["one"]
    assert frame["rank"][0] == 1


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("summary", {"spec": "s66"}, "no network is named 's66'", "hint: did you mean `s6`?"),
    ("train", {"epochs": 5.0}, "must be a whole number, not 5.0", "  --> epochs=5.0"),
    ("train", {"epochs": 30}, "11 too many for fewer than 20", "hint: epochs=19 would fit"),
    ("train", {"seeds": 0}, "seeds: must be a whole number from 1", ""),
    ("train", {"seed": True}, "seed: must be a whole number from 0", ""),
    ("train", {"threads": 2.0}, "threads: must be a whole number from 1", ""),
    ("train", {"seed": 1, "seeds": 2}, "seeds: excludes seed", "hint: leave out seed"),
    ("train", {"resume": "latest", "epochs": 3}, "resume: excludes epochs", ""),
    ("train", {"resume": "latest", "out": "x"}, "resume: excludes out", ""),
    ("train", {"device": "gpu"}, "'gpu' is not one of the values", ""),
    ("train", {"engine": "quick"}, "'quick' is not one of the values", ""),
    ("train", {"set": {"recipe.epoch": 3}}, "unknown key `epoch`", "  --> set['recipe.epoch']"),
    ("train", {"set": {"blocks": [object()]}}, "is no value that YAML could have", ""),
    ("evaluate", {"what": "x.pt"}, "is a pickle", ""),
    (
        "evaluate",
        {"split": "tset"},
        "'tset' is not one of the values",
        "hint: did you mean 'test'?",
    ),
    ("sweep", {"file": "no.yaml"}, "cannot be read", ""),
    ("sweep", {"file": "no.yaml", "ray_address": "auto"}, "excludes executor", ""),
]


@pytest.mark.parametrize(("verb", "arguments", "message", "note"), WRONG)
def test_errors_are_ours_and_tell_the_way_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    arguments: dict[str, Any],
    message: str,
    note: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ma.MnistArchError) as caught:
        getattr(ma, verb)(**arguments)
    assert message in str(caught.value)
    assert note in "\n".join(getattr(caught.value, "__notes__", ()))
    assert list(tmp_path.iterdir()) == []


def test_values_are_short_and_escape_what_a_user_wrote() -> None:
    experiment = ma.load("s6").with_dataset("mnist").experiment
    assert repr(experiment) == "Experiment(s6: 3 blocks, 19 epochs, mnist)"
    assert "<table>" in experiment._repr_html_()
    counted = ma.summary("s6")
    assert repr(counted).endswith("18,666 parameters, 6,049,088 MACs, within its budget)")
    assert "18,666</td>" in counted._repr_html_()
    assert repr(counted.plan) == "Plan(31 modules: 18,666 parameters, 6,049,088 MACs)"
    assert "18,666</td>" in counted.plan._repr_html_()
    assert len(repr(counted.loaded)) < 100
    result = small_result()
    assert repr(result) == "Result(<i>, seed 0: 50.00 % (test, 1 of 2 correct))"
    score = ma.Score.of([result], experiment.budget)
    assert repr(score) == "Score(<i>: 50.000 % (test, 1 seed))"
    for value in (result, score):
        assert "&lt;i&gt;" in value._repr_html_()
        assert "<i>" not in value._repr_html_()


def small_result() -> ma.Result:
    from tiny_runs import made_up_result

    return made_up_result(tiny(), 0).model_copy(update={"name": "<i>"})


@pytest.mark.parametrize(("holdout", "splits"), [(0, ("train", "test")), (5_000, ("train",))])
def test_nothing_is_read_ahead_of_a_split_that_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holdout: int, splits: tuple[str, ...]
) -> None:
    asked: list[Any] = []

    def stop(*what: Any) -> None:
        asked.append(what)
        raise DataUnavailable("enough")

    monkeypatch.setattr("mnist_arch.verbs.train.reading_ahead", stop)
    with pytest.raises(DataUnavailable, match=r"^enough$"):
        ma.train("s6", holdout=holdout, data_dir=tmp_path, out=tmp_path)
    assert asked == [("auto", splits, tmp_path)]
