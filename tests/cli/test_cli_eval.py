"""`mnist-arch eval` from the door: what it finds, what it refuses, what it prints and writes."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import safetensors.torch
import tiny_runs
import torch
from tiny_runs import TEST_IMAGES, make_run, tiny
from typer.testing import CliRunner, Result

from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.data.load import Loader
from mnist_arch.data.split import Split, hold_out
from mnist_arch.errors import PictureError
from mnist_arch.evaluation import gallery
from mnist_arch.evaluation.judgement import Judgement
from mnist_arch.evaluation.metrics import Evaluation, evaluate, evaluate_shifted
from mnist_arch.network.build import build
from mnist_arch.network.weights import save_weights
from mnist_arch.runs.folder import Run
from mnist_arch.spec.experiment import Experiment
from mnist_arch.zoo import index
from mnist_arch_cli.app import app

HOLDOUT = 40


class Eval:
    """The command in a folder of runs, with the splits that it read."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.read: list[tuple[str, str]] = []

    def __call__(self, *arguments: object) -> Result:
        runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "118", "TYPER_USE_RICH": "0"})
        command = ["eval", "--runs", self.runs, "--device", "cpu", *arguments]
        return runner.invoke(app, [str(argument) for argument in command])

    def json(self, *arguments: object) -> dict[str, Any]:
        done = self(*arguments, "--json")
        assert done.exit_code == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def refused(self, *arguments: object, code: int = 2) -> str:
        """What stderr says of a refusal, which reads no images and prints no result."""
        before = list(self.read)
        done = self(*arguments)
        assert (done.exit_code, done.stdout) == (code, ""), done.output
        assert self.read == before
        assert done.stderr.startswith("error: ")
        return done.stderr


@pytest.fixture(name="run_eval")
def _run_eval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images_are: Callable[[Loader], None]
) -> Eval:
    command = Eval(tmp_path / "runs")

    def load_split(name: DatasetName, split: Any, **_: Any) -> Split:
        command.read.append((name, split))
        return tiny_runs.images(name, split)

    images_are(load_split)
    monkeypatch.chdir(tmp_path)
    return command


def expected(experiment: Experiment, split: Split, *, seed: int = 0) -> Evaluation:
    """What the library says of a run that `make_run` made."""
    assert experiment.dataset != "auto"
    return evaluate(model_of(experiment, seed=seed), split, INFO[experiment.dataset])


def model_of(experiment: Experiment, *, seed: int) -> torch.nn.Module:
    model: torch.nn.Module = build(experiment, seed=seed)
    return model.to(memory_format=torch.channels_last)


# ------------------------------------------------------------------------------- what is evaluated


@pytest.mark.slow
def test_the_latest_finished_run_unless_named(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny("old"), started="2026-01-01")
    newest = make_run(run_eval.runs, tiny("new"), seed=3, started="2026-01-03")
    make_run(run_eval.runs, tiny("newer"), started="2026-01-04", finished=False)
    found = run_eval.json()
    assert (found["name"], found["seed"], found["run"]) == ("new", 3, str(newest.folder))


@pytest.mark.slow
def test_a_run_that_was_renamed_is_shown_by_its_name(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny("a")).rename("champion")
    assert run_eval("champion").stdout.startswith("champion · seed 0 · ")
    assert run_eval.json("champion")["name"] == "champion"


@pytest.mark.slow
def test_what_ships_is_shown_beside_its_evidence(run_eval: Eval) -> None:
    lines = run_eval("zoo/s6").stdout.splitlines()
    found = {line.split()[0]: line for line in lines if line.strip()}
    assert "(test, 5 seeds), at least 99.606 % over seeds and" in found["evidence"]
    assert re.search(r"no: [\d,]+ images are judged differently", found["repeated"])
    other = run_eval("zoo/s6", "--split", "train").stdout
    assert "these are other images than those of the evidence" in other


@pytest.mark.slow
def test_a_name_means_the_latest_finished_run_of_the_network(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny("a"), seed=0, started="2026-01-01")
    make_run(run_eval.runs, tiny("a"), seed=1, started="2026-01-02")
    make_run(run_eval.runs, tiny("a"), seed=2, started="2026-01-03", finished=False)
    make_run(run_eval.runs, tiny("a-b"), seed=9, started="2026-01-04")
    assert run_eval.json("a")["seed"] == 1
    assert run_eval.json("a-b")["seed"] == 9


@pytest.mark.slow
def test_a_run_that_may_only_be_read_is_judged_and_says_what_is_not_noted(
    run_eval: Eval, freeze: Callable[[Path], None]
) -> None:
    run = make_run(run_eval.runs, tiny(holdout=HOLDOUT))
    freeze(run_eval.runs)
    done = run_eval("--split", "test")
    assert f"this reading is not noted, since {run.folder} may only be read" in done.stderr
    assert not run.readings_path.exists()
    assert run_eval.json("--split", "test")["written"] == []


def test_folders_and_files(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny("a"), started="2026-01-02")
    run = make_run(run_eval.runs, tiny("b"), started="2026-01-01")
    for what in (run.folder, run.folder.name, f"{run.folder}/", run.weights_path):
        found = run_eval.json(what)
        assert (found["name"], found["run"]) == ("b", str(run.folder))


def test_a_name_with_a_dot_is_a_name_where_a_run_has_it(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny("net.5"))
    assert run_eval.json("net.5")["name"] == "net.5"
    assert "no file or folder 'net.6'" in run_eval.refused("net.6")


def test_weights_of_the_zoo(
    run_eval: Eval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "ZOO", tmp_path)
    network = index.Shipped(tmp_path / "shipped")
    network.folder.mkdir()
    network.spec_path.write_text("extends: s6\n")
    save_weights(network.weights_path, build(tiny("shipped")), tiny("shipped"))
    found = run_eval.json("shipped")
    assert (found["name"], found["run"], found["seed"]) == ("shipped", None, None)
    assert "the zoo has weights of shipped" in run_eval.refused("other")


def test_nothing_to_evaluate(run_eval: Eval) -> None:
    assert "there is no run in" in (text := run_eval.refused())
    assert "mnist-arch train" in text
    assert "error: s6-large-batch has no run in" in (text := run_eval.refused("s6-large-batch"))
    assert "train it: mnist-arch train s6-large-batch" in text
    make_run(run_eval.runs, tiny("a"))
    assert "no run and no network is named 'b'" in (text := run_eval.refused("b"))
    assert f"{run_eval.runs} has runs of a" in text


def test_runs_that_are_not_finished(run_eval: Eval) -> None:
    run = make_run(run_eval.runs, tiny(), finished=False)
    for what in ((), ("tiny",), (run.folder,)):
        text = run_eval.refused(*what)
        assert "finished" in text
        assert f"hint: resume one: mnist-arch train --resume {run.folder}" in text


@pytest.mark.parametrize(
    "what", ["[/red]", "..", ".", "", "a/b", "x" * 5000, "[bold]", "-s0", "\n"]
)
def test_strange_names_end_in_a_sentence(run_eval: Eval, what: str) -> None:
    text = run_eval.refused("--", what)
    assert what.strip()[:40] in text
    assert "hint: " in text


def test_a_folder_with_markup_in_its_name(run_eval: Eval) -> None:
    run_eval.runs = run_eval.runs / "[bold]x[" / "red]"
    run = make_run(run_eval.runs, tiny())
    done = run_eval(run.folder)
    assert done.exit_code == 0
    assert f"weights        {run.weights_path}\n" in done.stdout


# ----------------------------------------------------------------------------------- weights files


def weights_file(path: Path, experiment: Experiment, metadata: dict[str, str] | None) -> Path:
    tensors = {name: t.contiguous() for name, t in build(experiment).state_dict().items()}
    safetensors.torch.save_file(tensors, path, metadata=metadata)
    return path


def test_a_file_that_names_its_network(run_eval: Eval, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    experiment = tiny(dataset="kmnist", holdout=HOLDOUT)
    save_weights(path, build(experiment), experiment)
    found = run_eval.json(path)
    names = ("name", "trained_on", "dataset", "split", "holdout", "run")
    assert [found[n] for n in names] == ["tiny", "kmnist", "kmnist", "validation", HOLDOUT, None]
    done = run_eval(path, "--split", "test")
    assert "there is no run to note this reading in" in done.stderr


def test_a_file_that_does_not(run_eval: Eval, tmp_path: Path) -> None:
    path = weights_file(tmp_path / "x.safetensors", tiny(), None)
    assert "does not say which network it belongs to" in (text := run_eval.refused(path))
    assert "hint: name the network with --spec" in text
    spec = tmp_path / "mine.yaml"
    spec.write_text(json.dumps({**tiny().model_dump(mode="json"), "dataset": "auto"}))
    found = run_eval.json(path, "--spec", spec)
    assert (found["trained_on"], found["split"]) == ("mnist", "test")
    assert found["correct"] == expected(tiny(), tiny_runs.images("mnist", "test")).correct


def test_the_header_knows_what_it_was_trained_on(run_eval: Eval, tmp_path: Path) -> None:
    experiment = tiny(dataset="mnist-5k", holdout=HOLDOUT)
    header = {"spec": experiment.model_dump_json()}
    path = weights_file(tmp_path / "x.safetensors", experiment, header)
    spec = tmp_path / "mine.yaml"
    spec.write_text(tiny("other", dataset="fashion-mnist").model_dump_json())
    found = run_eval.json(path, "--spec", spec)
    assert (found["name"], found["trained_on"]) == ("other", "mnist-5k")
    assert (found["dataset"], found["split"]) == ("mnist-5k", "validation")


def test_weights_of_another_network(run_eval: Eval, tmp_path: Path) -> None:
    path = weights_file(tmp_path / "x.safetensors", tiny(), None)
    text = run_eval.refused(path, "--spec", "s6")
    assert "does not fit the network: layers.3.weight is missing" in text
    assert "more\n" in text


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("{", "cannot be used"),
        ("name: [", "cannot be used"),
        ('{"blocks": []}', "cannot be used"),
        ('{"extends": "s6"}', "`extends` is not allowed here"),
        (
            '{"name": "x", "blocks": [{"channels": [9], "padding": "valid", "kernel": 40}]}',
            "cannot",
        ),
        (
            '{"name": "x", "classes": 4096, "blocks": [{"reduce": 4096}, {"reduce": 4096}]}',
            "too few",
        ),
    ],
)
def test_a_header_that_cannot_be_used(run_eval: Eval, tmp_path: Path, spec: str, text: str) -> None:
    path = weights_file(tmp_path / "x.safetensors", tiny(), {"spec": spec})
    assert text in run_eval.refused(path)


def test_a_file_that_is_not_safetensors(run_eval: Eval, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for content in (b"", b"hello", b"\xff" * 100, b"\x10" + b"\0" * 7 + b"{" * 16):
        path.write_bytes(content)
        assert "cannot be read" in run_eval.refused(path)
    assert "is a spec, which has no weights" in run_eval.refused("s6.yaml")


class Bomb:
    """A pickle that would write a file when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (Path("exploded"), "")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".PT", ""])
def test_pickles_are_not_opened(run_eval: Eval, tmp_path: Path, suffix: str) -> None:
    for write in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        path = tmp_path / f"weights{suffix}"
        write({"x": Bomb()}, path)
        text = run_eval.refused(f"./{path.name}")
        assert "is a pickle, which can execute code when it is read" in text
        assert "safetensors.torch.save_file" in text
    assert not Path("exploded").exists()


def test_a_run_knows_its_network(run_eval: Eval) -> None:
    run = make_run(run_eval.runs, tiny())
    assert "is a run, which knows its network" in run_eval.refused(run.folder, "--spec", "s6")


# ---------------------------------------------------------------------------------- damaged folders


def test_damaged_folders(run_eval: Eval) -> None:
    run = make_run(run_eval.runs, tiny())
    good = run.result_path.read_text()
    run.result_path.write_text(good[:50])
    assert "result.json is damaged" in run_eval.refused(code=3)
    run.result_path.write_text(good.replace('"format": 2', '"format": 3'))
    assert "has format 3; this program reads up to 2" in run_eval.refused()
    run.result_path.write_text(good.replace('"format": 2', '"format": 1'))
    assert "has format 1, of an earlier version" in run_eval.refused()
    run.result_path.unlink()
    assert run_eval.json()["name"] == "tiny"
    run.weights_path.write_bytes(run.weights_path.read_bytes()[:-10])
    assert "cannot be read" in run_eval.refused()
    run.manifest_path.write_text("{}")
    assert "manifest.json is damaged" in run_eval.refused(code=3)


@pytest.mark.slow
def test_a_result_that_says_otherwise_is_noted(run_eval: Eval) -> None:
    run = make_run(run_eval.runs, tiny())
    correct = run_eval.json()["correct"]
    assert f"the run's result says 1 correct, not {correct}" in run_eval().stderr
    text = run.result_path.read_text().replace('"correct": 1', f'"correct": {correct}')
    run.result_path.write_text(text)
    message = "contradicts itself: result.json: "
    assert message in run_eval.refused(code=3)
    judged = Judgement(correct, tiny_runs.TEST_IMAGES, 1.0, "test")
    best = {"best_accuracy_percent": judged.accuracy_percent}
    result = json.loads(text) | judged.values() | best
    run.result_path.write_text(json.dumps(result))
    assert run_eval().stderr == ""
    run.result_path.write_text(json.dumps(result | {"accuracy_percent": 99.9}))
    assert "accuracy_percent says 99.9" in run_eval.refused(code=3)


# ---------------------------------------------------------------------------------- which images


def test_without_a_holdout_test_is_judged(run_eval: Eval) -> None:
    run = make_run(run_eval.runs, tiny())
    assert run_eval.json()["split"] == "test"
    assert run_eval.read == [("mnist", "test")]
    assert not run.readings_path.exists()
    text = run_eval.refused("--split", "validation")
    assert "tiny was trained without a hold-out, so there are no validation images" in text


def test_with_a_holdout_test_is_left_alone(run_eval: Eval) -> None:
    experiment = tiny(holdout=HOLDOUT)
    run = make_run(run_eval.runs, experiment)
    found = run_eval.json()
    assert (found["split"], found["images"], found["verdict"]) == ("validation", HOLDOUT, "none")
    assert run_eval.read == [("mnist", "train")]
    rest, judged_on = hold_out(tiny_runs.images("mnist", "train"), HOLDOUT)
    assert found["correct"] == expected(experiment, judged_on).correct
    train = run_eval.json("--split", "train")
    assert train["images"] == tiny_runs.TRAIN_IMAGES - HOLDOUT
    assert train["correct"] == expected(experiment, rest).correct
    assert not run.readings_path.exists()


def test_a_reading_of_test_is_noted_in_the_run(run_eval: Eval) -> None:
    run = make_run(run_eval.runs, tiny(holdout=HOLDOUT))
    first = run_eval("--split", "test")
    assert "trained without reading test; this is reading 1 of it since" in first.stderr
    assert f"wrote          {run.readings_path}\n" in first.stdout
    found = run_eval.json("--split", "test")
    assert found["written"] == [str(run.readings_path)]
    lines = [json.loads(line) for line in run.readings_path.read_text().splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert sorted(line) == [
            *("accuracy_percent", "command", "correct", "dataset", "format", "images"),
            *("split", "time"),
        ]
        assert (line["split"], line["dataset"], line["images"]) == ("test", "mnist", TEST_IMAGES)
        assert line["correct"] == found["correct"]
        assert line["accuracy_percent"] == 100 * line["correct"] / line["images"]
        assert line["time"].endswith("+00:00")
        assert line["command"][0] == "mnist-arch"


def test_a_reading_that_cannot_be_noted_is_not_shown(run_eval: Eval) -> None:
    run = make_run(run_eval.runs, tiny(holdout=HOLDOUT))
    run.readings_path.mkdir()
    done = run_eval("--split", "test")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "cannot write" in done.stderr


def test_another_dataset_is_marked(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny(dataset="fashion-mnist"))
    done = run_eval("--dataset", "kmnist")
    assert "tiny was trained on fashion-mnist, and is judged on kmnist" in done.stderr
    assert done.stdout.startswith("tiny · seed 0 · kmnist test (trained on fashion-mnist)\n")
    found = run_eval.json("--dataset", "kmnist")
    assert (found["trained_on"], found["dataset"]) == ("fashion-mnist", "kmnist")
    assert [entry["name"] for entry in found["classes"]][:2] == ["o", "ki"]
    # Normalised as in training.
    images = tiny_runs.images("kmnist", "test")
    assert found["loss"] == expected(tiny(dataset="fashion-mnist"), images).loss


def test_a_holdout_of_another_dataset(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny(dataset="kmnist", holdout=HOLDOUT))
    assert run_eval.json("--dataset", "mnist")["split"] == "test"
    text = run_eval.refused("--dataset", "mnist", "--split", "validation")
    assert "the validation images of tiny are of kmnist, not of mnist" in text


@pytest.mark.parametrize("dataset", ["mnist", "qmnist"])
def test_training_images_are_not_judged_as_if_they_were_new(run_eval: Eval, dataset: str) -> None:
    make_run(run_eval.runs, tiny(dataset=dataset))
    text = run_eval.refused("--dataset", "mnist-5k")
    assert "the images of mnist-5k are among its training images" in text


def test_the_sample_against_mnist_is_fine(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny(dataset="mnist-5k"))
    assert run_eval.json("--dataset", "mnist")["verdict"] == "missed"


def test_datasets_that_do_not_fit(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny())
    text = run_eval.refused("--dataset", "emnist-letters")
    assert "tiny has 10 outputs, and emnist-letters has 26 classes" in text
    assert "did you mean `fashion-mnist`?" in run_eval.refused("--dataset", "fashion")
    assert "datasets: mnist, mnist-5k" in run_eval.refused("--dataset", "auto")


# ------------------------------------------------------------------------------------- the output


def test_the_json_is_exact(run_eval: Eval) -> None:
    run = make_run(run_eval.runs, tiny(), seed=4)
    found = run_eval.json("--tta")
    model, images = model_of(tiny(), seed=4), tiny_runs.images("mnist", "test")
    e = evaluate(model, images, INFO["mnist"])
    shifted = evaluate_shifted(model, images, INFO["mnist"])
    assert found.pop("images_per_second") > 0
    assert found.pop("threads") == torch.get_num_threads()
    assert found == {
        "format": 1,
        "name": "tiny",
        "seed": 4,
        "run": str(run.folder),
        "weights": str(run.weights_path),
        "trained_on": "mnist",
        "holdout": 0,
        "dataset": "mnist",
        "split": "test",
        "images": TEST_IMAGES,
        "correct": e.correct,
        "accuracy_percent": 100 * e.correct / TEST_IMAGES,
        "interval_percent": list(e.interval_percent),
        "loss": e.loss,
        "verdict": "missed",
        "calibration_error": e.calibration_error,
        "calibration_bins": [vars(place) for place in e.bins],
        "classes": [
            {"label": label, "name": str(label), **vars(score)}
            for label, score in enumerate(e.classes)
        ],
        "confusion": [list(row) for row in e.confusion],
        "mistakes": [vars(mistake) for mistake in e.mistakes],
        "device": "cpu",
        "shifted": {
            "images": TEST_IMAGES,
            "correct": shifted.correct,
            "accuracy_percent": shifted.accuracy_percent,
            "interval_percent": list(shifted.interval_percent),
            "loss": shifted.loss,
            "shifts": [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]],
        },
        "written": [],
        "evidence": None,
    }


def test_the_tables_add_up(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny())
    e = expected(tiny(), tiny_runs.images("mnist", "test"))
    lines = run_eval().stdout.splitlines()
    low, high = e.interval_percent
    assert lines[2] == (
        f"accuracy       {e.accuracy_percent:.2f} % (test, 94 images, "
        f"Wilson 95 % {low:.2f}–{high:.2f}), {e.correct} correct"
    )
    assert lines[3] == "rule           ≥ 99.4 % on mnist test: missed"
    top = next(index for index, line in enumerate(lines) if line.startswith("by class")) + 3
    rows = [line.replace("·", "0").replace("%", "").split() for line in lines[top : top + 10]]
    counts = [[int(cell) for cell in row[5:]] for row in rows]
    assert counts == [list(row) for row in e.confusion]
    assert [sum(row) for row in counts] == [int(row[1]) for row in rows]
    assert sum(counts[label][label] for label in range(10)) == e.correct
    images = 0
    for line in lines[top + 10 :]:
        if "–" in line.split("%")[0]:
            images += int(line.split("%")[1].split()[0])
    assert images == TEST_IMAGES


def test_the_extra_is_marked(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny())
    plain = run_eval().stdout
    with_extra = run_eval("--tta").stdout
    assert "shifted" not in plain
    assert "(an extra: mean of 5 shifts)" in with_extra
    assert plain.splitlines()[2] == with_extra.splitlines()[2]


def test_of_many_classes_the_confused_pairs_are_shown(run_eval: Eval) -> None:
    experiment = tiny(dataset="emnist-balanced", classes=47)
    make_run(run_eval.runs, experiment)
    lines = run_eval().stdout.splitlines()
    confusion = expected(experiment, tiny_runs.images("emnist-balanced", "test")).confusion
    wrong = [n for i, row in enumerate(confusion) for j, n in enumerate(row) if n and i != j]
    top = next(i for i, line in enumerate(lines) if f"confused most, of {len(wrong)} pairs" in line)
    shown = [int(line.split()[-1]) for line in lines[top + 3 : top + 23]]
    assert shown == sorted(wrong, reverse=True)[:20]


@pytest.mark.slow
def test_the_gallery(run_eval: Eval, tmp_path: Path) -> None:
    make_run(run_eval.runs, tiny())
    path = tmp_path / "g.png"
    done = run_eval("--gallery", path)
    assert done.stdout.endswith(f"wrote          {path}\n")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "'g.jpg' is to end in one of .png, .svg, .pdf" in run_eval.refused("--gallery", "g.jpg")
    assert "there is no folder 'nowhere'" in run_eval.refused("--gallery", "nowhere/g.png")


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "begins"), [("SVG", b"<?xml"), ("pdf", b"%PDF-")])
def test_the_gallery_is_what_its_name_asks_for(
    run_eval: Eval, tmp_path: Path, suffix: str, begins: bytes
) -> None:
    make_run(run_eval.runs, tiny())
    path = tmp_path / f"g.{suffix}"
    assert run_eval("--gallery", path).exit_code == 0
    assert path.read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("error", "code"), [(PictureError("cannot draw: no font"), 3), (ValueError("no font"), 70)]
)
def test_a_gallery_that_cannot_be_drawn_is_an_error_after_the_result(
    run_eval: Eval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    make_run(run_eval.runs, tiny())

    def no_picture(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(gallery, "draw_gallery", no_picture)
    done = run_eval("--gallery", tmp_path / "g.png")
    assert done.exit_code == code
    assert "accuracy" in done.stdout
    assert "wrote" not in done.stdout
    assert "no font" in done.stderr
    done = run_eval("--gallery", tmp_path / "g.png", "--json")
    assert done.exit_code == json.loads(done.stderr)["exit_code"] == code
    assert json.loads(done.stdout)["written"] == []


def test_quiet_and_errors_as_json(run_eval: Eval) -> None:
    make_run(run_eval.runs, tiny())
    assert run_eval("--split", "train").stderr != ""
    assert run_eval("--split", "train", "--quiet").stderr == ""
    done = run_eval("nobody", "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert json.loads(done.stderr)["problems"][0]["message"] == (
        "no run and no network is named 'nobody'"
    )


@pytest.mark.slow
def test_refusals_do_not_wait_for_torch(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", tiny())
    weights_file(tmp_path / "x.safetensors", tiny(), {"spec": "{"})
    code = """
import sys
from mnist_arch_cli.app import app
for arguments in (["nobody"], ["x.pt"], ["--split", "validation"], ["--dataset", "emnist-letters"],
                  ["x.safetensors"], ["x.safetensors", "--spec", "nobody"], ["--gallery", "x.jpg"]):
    try:
        app(["eval", *arguments])
    except SystemExit as stop:
        assert stop.code == 2, arguments
    assert "torch" not in sys.modules, arguments
"""
    root = str(Path(gallery.__file__).parents[2])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}){code}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_embedded_sample(tmp_path: Path) -> None:
    run: Run = make_run(tmp_path / "runs", tiny(dataset="mnist-5k", holdout=333))
    command = Eval(tmp_path / "runs")
    validation, test = command.json(), command.json("--split", "test")
    assert (validation["images"], test["images"]) == (333, 1000)
    assert [entry["images"] for entry in test["classes"]] == [100] * 10
    assert len(run.readings_path.read_text().splitlines()) == 1
