"""Teachers: who can be one, what is written of it, and a run that resumes with its own copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small import equal, folder_name, images_of, loaded, synthetic
from tiny_runs import make_run, tiny

from mnist_arch.counting.counted import count
from mnist_arch.counting.digest import digest
from mnist_arch.data.folds import Folds
from mnist_arch.errors import RunCorrupt, SpecError
from mnist_arch.network.weights import read_weights
from mnist_arch.runs.evidence import evidence_beside, sha256_of
from mnist_arch.runs.execute import run_experiment
from mnist_arch.runs.folder import TEACHER, Run
from mnist_arch.runs.resolve import find_spec
from mnist_arch.runs.teachers import FoundTeacher, Teachers
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import Loaded, load, loads
from mnist_arch.spec.overrides import override
from mnist_arch.training.engine import Engine
from mnist_arch.training.events import EpochRecord
from mnist_arch.verbs.train import TrainRequest
from mnist_arch.zoo.index import zoo

PLAIN = Engine(device="cpu", threads=1)


@pytest.fixture(autouse=True)
def _fast_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mnist_arch.runs.finished.draw_curves", lambda *_, **__: b"\x89PNG\r\n\x1a\n"
    )


def taught(by: str, **values: Any) -> Loaded:
    """The small experiment, which learns from the network of that name."""
    return loaded(recipe__teacher={"network": by}, **values)


def known(runs: Path, by: str, **values: Any) -> Experiment:
    return Teachers(runs).known(taught(by, **values)).experiment


# ------------------------------------------------------------------------------------ who it can be


def test_a_name_is_its_latest_run_else_what_ships(tmp_path: Path) -> None:
    shipped = known(tmp_path, "s6").recipe.teacher
    assert shipped is not None
    assert (shipped.network, shipped.sha256) == ("zoo/s6", sha256_of(zoo()["s6"].weights_path))
    run = make_run(tmp_path, tiny("s6", dataset="mnist-5k"))
    for name in ("s6", str(run.folder), run.folder.name, str(run.weights_path)):
        found = known(tmp_path, name).recipe.teacher
        assert found is not None
        assert (found.network, found.sha256) == (str(run.folder), sha256_of(run.weights_path))
    copied = shutil.copy(run.weights_path, tmp_path / "alone.safetensors")
    assert known(tmp_path, str(copied)).recipe.teacher == found.model_copy(
        update={"network": str(copied)}
    )


def test_no_run_teaches_the_next_of_its_name(tmp_path: Path) -> None:
    def asked(by: str) -> None:
        values = override("recipe.teacher", by, origin="set")
        TrainRequest.of("tiny", parent=tmp_path, runs=tmp_path, overrides=(values,))

    with pytest.raises(SpecError) as error:
        asked("tiny")
    assert "is also the name of what learns" in error.value.problems[0].message
    asked("zoo/tiny")
    asked(str(make_run(tmp_path, tiny("tiny", dataset="mnist")).folder))


def test_the_digest_has_the_weights_of_a_teacher_and_not_its_name(tmp_path: Path) -> None:
    one = make_run(tmp_path, tiny("one", dataset="mnist-5k"))
    make_run(tmp_path, tiny("two", dataset="mnist-5k"), seed=1)
    shutil.copy(one.weights_path, tmp_path / "same.safetensors")
    found = [known(tmp_path, it) for it in ("one", str(tmp_path / "same.safetensors"), "two")]
    first, same, other = map(digest, found)
    assert first == same != other
    weighed = taught("one").experiment.recipe.teacher
    assert weighed is not None
    assert len({first, other, digest(loaded().experiment)}) == 3
    with pytest.raises(ValueError, match="find the teacher before"):
        digest(taught("one").experiment)


def test_a_recipe_without_a_teacher_keeps_its_digest() -> None:
    evidence = evidence_beside(zoo()["s6"].weights_path)
    assert evidence is not None
    assert digest(load("s6").with_dataset("mnist").experiment) == evidence.digest


def refused(runs: Path, experiment: Experiment) -> tuple[str, str]:
    teachers = Teachers(runs)
    with pytest.raises(SpecError) as error:
        teachers.check(teachers.known(Loaded(experiment, {})).experiment)
    (problem,) = error.value.problems
    assert problem.place == "recipe.teacher"
    return problem.message, problem.hint


def test_a_teacher_that_is_not_there_is_refused_at_its_line(tmp_path: Path) -> None:
    text = "blocks: [{channels: [4]}]\nhead: {linear: true}\nname: a\nrecipe: {teacher: nobody}\n"
    with pytest.raises(SpecError) as error:
        Teachers(tmp_path).known(loads(text, source="mine.yaml"))
    (problem,) = error.value.problems
    assert problem.message == "no run and no network is named 'nobody'"
    assert (problem.place, problem.origin) == ("recipe.teacher", "mine.yaml:4")
    shipped = loads(text.replace("nobody", "zoo/s6"), source="mine.yaml")
    found = Teachers(tmp_path).known(shipped)
    assert found.origin("recipe.teacher.network") == "mine.yaml:4"
    assert found.origin("recipe.teacher.sha256") == "its weights"
    make_run(tmp_path, tiny("begun", dataset="mnist-5k"), finished=False)
    message, hint = refused(tmp_path, taught("begun").experiment)
    assert message.endswith("is finished")
    assert hint.startswith("resume one: train(resume=")
    bare = tmp_path / "bare.safetensors"
    import safetensors.torch
    import torch

    safetensors.torch.save_file({"w": torch.zeros(1)}, bare)
    message, hint = refused(tmp_path, taught(str(bare)).experiment)
    assert message == f"{bare} does not say which network it belongs to"
    assert hint == "a teacher's file says which network it is, as those do that are trained here"


def test_a_teacher_of_other_images_or_classes_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path, tiny("fashion", dataset="fashion-mnist"))
    make_run(tmp_path, tiny("letters", classes=26, dataset="emnist-letters"))
    message, hint = refused(tmp_path, taught("fashion").experiment)
    assert message == "the teacher fashion was trained on fashion-mnist, not on mnist-5k"
    assert hint == "train one on mnist-5k, or set `dataset: fashion-mnist`"
    message, hint = refused(tmp_path, taught("letters").experiment)
    assert message == "the teacher letters has 26 outputs, and small has 10"
    message, _ = refused(tmp_path, taught("zoo/s6").experiment)
    assert message == (
        "the teacher s6 was trained on mnist, not on mnist-5k, whose images of all splits are "
        "among those it has learned from"
    )


@pytest.mark.parametrize("holdout", [400, {"last": 400}])
def test_a_teacher_that_has_seen_the_hold_out_is_refused(tmp_path: Path, holdout: Any) -> None:
    whole = tiny("whole", dataset="mnist-5k")
    make_run(tmp_path, whole)
    student = taught("whole", holdout=holdout).experiment
    message, hint = refused(tmp_path, student)
    assert message == (
        "the teacher whole has learned from images that are held out, and its answers would tell "
        "of them"
    )
    stated = "400" if holdout == 400 else "{last: 400}"
    assert hint == f"train one with the same hold-out, `holdout: {stated}`, and name its run"
    other = make_run(tmp_path, tiny("other", dataset="mnist-5k", holdout=300))
    assert refused(tmp_path, taught(str(other.folder), holdout=holdout).experiment)[1] == hint
    same = make_run(tmp_path, tiny("same", dataset="mnist-5k", holdout=holdout))
    for experiment in (
        taught(str(same.folder), holdout=holdout).experiment,
        taught(str(same.folder)).experiment,  # of finalists, which read test
    ):
        teachers = Teachers(tmp_path)
        teachers.check(teachers.known(Loaded(experiment, {})).experiment)


def test_folds_would_need_a_teacher_each(tmp_path: Path) -> None:
    make_run(tmp_path, tiny("whole", dataset="mnist-5k"))
    student = taught("whole").experiment.model_copy(update={"holdout": Folds(folds=4)})
    message, _ = refused(tmp_path, student)
    assert message.startswith("each fold would need a teacher of its own")


def test_other_weights_than_those_that_are_named_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny("one", dataset="mnist-5k"))
    given = {"network": "one", "sha256": sha256_of(run.weights_path)}
    teachers = Teachers(tmp_path)
    same = teachers.known(loaded(recipe__teacher=given)).experiment
    assert digest(same) == digest(known(tmp_path, "one"))
    given["sha256"] = "0" * 64
    message, _ = refused(tmp_path, loaded(recipe__teacher=given).experiment)
    assert message == "one has other weights than those that `sha256` names"


def test_its_time_is_that_of_its_training_with_its_own_teacher(tmp_path: Path) -> None:
    first = make_run(tmp_path, tiny("first", dataset="mnist-5k"))
    seconds = (first.result()).seconds  # type: ignore[union-attr]
    teachers = Teachers(tmp_path)
    found = teachers.of(known(tmp_path, "first").recipe)
    assert isinstance(found, FoundTeacher)
    assert found.seconds == seconds
    own = teachers.known(
        Loaded(tiny("second", dataset="mnist-5k", recipe={"teacher": "first"}), {})
    )
    second = make_run(tmp_path, own.experiment)
    manifest = second.manifest().model_copy(update={"teacher": found.record})
    second.manifest_path.write_text(manifest.json_text())
    assert teachers.of(known(tmp_path, "second").recipe).seconds == 2 * seconds  # type: ignore[union-attr]
    shipped = teachers.of(known(tmp_path, "zoo/s6").recipe)
    assert shipped is not None
    assert shipped.seconds is not None
    assert shipped.seconds > 1_000
    assert (shipped.record.name, shipped.record.parameters) == ("s6", 18_666)
    alone = shutil.copy(first.weights_path, tmp_path / "alone.safetensors")
    assert teachers.of(known(tmp_path, str(alone)).recipe).seconds is None  # type: ignore[union-attr]


# -------------------------------------------------------------------------------------------- a run


def train(
    run: Run, experiment: Experiment, *, epochs: int | None = None, again: bool = False
) -> Run:
    """Trains in plain steps, or as far as so many epochs and no further."""
    images = images_of(synthetic(96, seed=1), synthetic(50, seed=2))
    events: Iterator[Any] = run_experiment(
        count(Loaded(experiment, {})),
        images,
        run=run,
        seed=0,
        engine=PLAIN,
        command=["test"],
        command_seconds=lambda: 0.0,
        again=again,
    )
    done = 0
    for event in events:
        done += isinstance(event, EpochRecord)
        if done == epochs:
            break
    return run


@pytest.fixture
def student(tmp_path: Path) -> Experiment:
    make_run(tmp_path, tiny("master", dataset="mnist-5k"))
    return known(tmp_path, "master", recipe__epochs=2)


@pytest.mark.slow
def test_it_resumes_by_its_own_copy_to_the_same_bits(tmp_path: Path, student: Experiment) -> None:
    whole = train(Run(tmp_path / "whole"), student)
    run = train(Run(tmp_path / folder_name(student, 0)), student, epochs=1)
    assert sha256_of(run.teacher_path) == student.recipe.teacher.sha256  # type: ignore[union-attr]
    for name in tmp_path.glob("master-*"):
        shutil.rmtree(name)
    train(run, student)
    results = [it.result() for it in (whole, run)]
    assert len({it.loss for it in results if it is not None}) == 1
    assert equal(read_weights(whole.weights_path)[0], read_weights(run.weights_path)[0])
    manifest = run.manifest()
    assert manifest.teacher is not None
    assert (manifest.teacher.name, manifest.teacher.seconds) == ("master", 1.0)
    alone = train(Run(tmp_path / "alone"), loaded(recipe__epochs=2).experiment)
    assert not equal(read_weights(alone.weights_path)[0], read_weights(run.weights_path)[0])
    assert not alone.teacher_path.exists()


@pytest.mark.slow
def test_a_copy_that_is_lost_or_changed_is_an_error(tmp_path: Path, student: Experiment) -> None:
    run = train(Run(tmp_path / folder_name(student, 0)), student, epochs=1)
    content = run.teacher_path.read_bytes()
    for change in (run.teacher_path.unlink, lambda: run.teacher_path.write_bytes(content[:-1])):
        change()
        with pytest.raises(RunCorrupt, match=r"teacher\.safetensors is missing, or is not"):
            train(run, student)
    run.teacher_path.write_bytes(content)
    train(run, student)


@pytest.mark.slow
def test_a_run_is_repeated_by_its_manifest_and_its_copy(
    tmp_path: Path, student: Experiment
) -> None:
    run = train(Run(tmp_path / folder_name(student, 0)), student)
    for name in tmp_path.glob("master-*"):
        shutil.rmtree(name)
    elsewhere = tmp_path / "elsewhere"
    request = TrainRequest.of(
        None, parent=elsewhere, runs=tmp_path, from_manifest=run.manifest_path
    )
    copy = str(run.folder / TEACHER)
    assert request.loaded.experiment.recipe.teacher.network == copy  # type: ignore[union-attr]
    counted = count(request.loaded)
    assert counted.digest == run.manifest().digest
    again = train(Run(elsewhere / counted.folder_name(0)), counted.experiment)
    assert again.manifest().teacher == run.manifest().teacher
    assert equal(read_weights(again.weights_path)[0], read_weights(run.weights_path)[0])
    # In place of itself, too, whose copy is put aside with the folder.
    named = find_spec(str(run.folder), runs=tmp_path).experiment
    train(run, named, again=True)
    assert run.manifest().teacher == again.manifest().teacher


@pytest.mark.slow
def test_another_teacher_is_another_experiment(tmp_path: Path, student: Experiment) -> None:
    run = train(Run(tmp_path / folder_name(student, 0)), student, epochs=1)
    other = make_run(tmp_path, tiny("other", dataset="mnist-5k"), seed=3)
    found = find_spec(
        str(run.folder),
        runs=tmp_path,
        overrides=[override("recipe.teacher", str(other.folder), origin="set")],
    )
    assert Teachers(tmp_path).known(found).experiment.recipe.teacher.sha256 == sha256_of(  # type: ignore[union-attr]
        other.weights_path
    )


@pytest.mark.slow
def test_a_manifest_and_its_teacher_agree(tmp_path: Path, student: Experiment) -> None:
    run = train(Run(tmp_path / folder_name(student, 0)), student)
    manifest = json.loads(run.manifest_path.read_text())
    for change in (
        lambda it: it["teacher"].update(sha256="0" * 64),
        lambda it: it.update(teacher=None),
        lambda it: it["experiment"]["recipe"]["teacher"].update(sha256=None),
    ):
        changed = json.loads(json.dumps(manifest))
        change(changed)
        run.manifest_path.write_text(json.dumps(changed))
        with pytest.raises(RunCorrupt, match=r"teacher"):
            train(run, student)
