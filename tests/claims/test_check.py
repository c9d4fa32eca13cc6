"""`mnist_arch.claims.check`: honest runs are as stated, and forged ones are caught."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from handed_in import (
    LEAKED,
    SAMPLE,
    TRAINING,
    alike,
    change,
    change_epoch,
    edited,
    load_split,
    one_more_correct,
    stopped,
    train,
    zipped,
)
from profiles import examples

from mnist_arch.claims.check import CheckedRun, Checker, reasons, with_copies
from mnist_arch.claims.handed_in import MOST_RUNS, handed_in, passed_over
from mnist_arch.claims.rules import read_budget
from mnist_arch.data.load import Loader
from mnist_arch.data.split import content_hash
from mnist_arch.errors import PathError, SpecError
from mnist_arch.network.weights import weights_in
from mnist_arch.runs.folder import Run
from mnist_arch.runs.keeping import pack
from mnist_arch.spec.experiment import Budget
from mnist_arch.values import FORMAT

RULES = Budget(accuracy_percent=1.0)


@pytest.fixture(autouse=True)
def _few_images(images_are: Callable[[Loader], None]) -> None:
    images_are(load_split)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Honest runs, by what they are of."""
    parent = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnist_arch.runs.finished.draw_curves", lambda *_, **__: b"")
        yield {
            "own": train(parent),
            "seed": train(parent, seed=1),
            "network": train(parent, name="other", defaults__bias=False),
            "held out": train(parent, name="held", holdout=20),
            "fold": train(parent, seed=1, name="fold", holdout={"folds": 4}),
            "last": train(parent, seed=1, name="last", holdout={"last": 20}),
        }


def check(*paths: Path, rerun: bool = False, budget: Budget = RULES) -> list[CheckedRun]:
    places = [it for path in paths for it in handed_in(path)]
    return with_copies(list(Checker(budget, None, rerun).checks(places)))


def places(run: CheckedRun) -> set[str]:
    return {it.place for it in run.contradictions}


@pytest.mark.parametrize("rerun", [False, True])
@pytest.mark.parametrize("of", ["own", "seed", "network", "fold", "last"])
def test_an_honest_run_is_as_stated(runs: dict[str, Path], of: str, rerun: bool) -> None:
    (run,) = check(runs[of], rerun=rerun)
    assert (run.state, run.contradictions, run.reason) == ("as stated", (), "")
    result = json.loads((runs[of] / "result.json").read_text())
    assert run.judgement is not None
    assert run.judgement.correct == result["correct"]
    assert (run.parameters, run.epochs) == (result["parameters"], result["epochs"])
    assert reasons(run) == (["repeated: the same bits"] if rerun else [])


def test_an_archive_is_read_as_its_folder(runs: dict[str, Path], tmp_path: Path) -> None:
    (run,) = check(zipped(runs["own"], tmp_path / "run.zip"))
    assert run.state == "as stated"
    assert os.listdir(tmp_path) == ["run.zip"]


def test_what_is_packed_is_checked_seed_by_seed(runs: dict[str, Path], tmp_path: Path) -> None:
    """Each run of an archive, and of a folder of folders and archives, is a row."""
    out = tmp_path / "class" / "anna.zip"
    out.parent.mkdir()
    pack(Run(runs["own"]).name, out, runs=runs["own"].parent)
    inside = [f"{out}/{runs[of].name}" for of in ("own", "seed")]
    assert [(it.name, it.state) for it in check(out)] == [(it, "as stated") for it in inside]
    bert = shutil.copytree(runs["network"], tmp_path / "class" / "bert")
    (tmp_path / "class" / "notes.txt").write_text("")
    (tmp_path / "class" / "link").symlink_to(runs["own"])
    (tmp_path / "class" / "carl").mkdir()
    found = check(tmp_path / "class")
    assert [it.name for it in found] == [*inside, str(bert), str(tmp_path / "class" / "carl")]
    assert [it.state for it in found] == ["as stated"] * 3 + ["cannot be read"]
    with zipfile.ZipFile(out, "a") as it:
        it.writestr("zoe/manifest.json", "{")
    assert [it.state for it in check(out)] == ["as stated", "as stated", "cannot be read"]


def test_a_run_with_a_holdout_has_no_verdict(runs: dict[str, Path]) -> None:
    (run,) = check(runs["held out"])
    assert run.verdicts is not None
    assert run.verdicts.accuracy == "none"


def test_a_run_on_another_fold_than_that_of_its_seed_is_caught(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    edit = change("manifest.json", experiment__holdout__fold=2)
    (run,) = check(edited(runs["fold"], tmp_path / "forged", edit))
    assert {"manifest.json: holdout.fold", "result.json: folds"} <= places(run)


def replaced(runs: dict[str, Path], of: str, *files: str) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        for file in files:
            shutil.copy(runs[of] / file, folder / file)

    return edit


def cut(folder: Path) -> None:
    path = folder / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


FORGED: dict[str, tuple[Callable[[dict[str, Path]], Callable[[Path], object]], str]] = {
    "accuracy": (
        lambda _: change("result.json", accuracy_percent=99.9),
        "result.json: accuracy_percent",
    ),
    "correct": (
        lambda _: change("result.json", correct=lambda it: it - 1),
        "result.json: correct",
    ),
    "images": (lambda _: change("result.json", images=10_000), "result.json: images"),
    "loss": (lambda _: change("result.json", loss=0.5), "result.json: loss"),
    "seed": (lambda _: change("result.json", seed=7), "result.json: seed"),
    "seed of the manifest": (lambda _: change("manifest.json", seed=7), "result.json: seed"),
    "dataset": (
        lambda _: change("manifest.json", experiment__dataset="qmnist"),
        "manifest.json: digest",
    ),
    "dataset of the result": (
        lambda _: change("result.json", dataset="qmnist"),
        "result.json: dataset",
    ),
    "split": (lambda _: change("result.json", split="validation"), "result.json: split"),
    "weights of another seed": (
        lambda runs: replaced(runs, "seed", "weights.safetensors"),
        "result.json: loss",
    ),
    "weights of another network": (
        lambda runs: replaced(runs, "network", "weights.safetensors"),
        "manifest.json: defaults.bias",
    ),
    "epochs": (
        lambda _: change("manifest.json", experiment__recipe__epochs=2),
        "result.json: epochs",
    ),
    "epochs of the result": (lambda _: change("result.json", epochs=2), "result.json: epochs"),
    "budget": (
        lambda _: change("manifest.json", experiment__budget__parameters_below=10**6),
        "manifest.json: budget.parameters_below",
    ),
    "verdicts": (
        lambda _: change("result.json", verdicts__accuracy="none"),
        "result.json: verdicts.accuracy",
    ),
    "parameters": (lambda _: change("result.json", parameters=5), "result.json: parameters"),
    "other images": (
        lambda _: change("manifest.json", data_sha256="0" * 64),
        "manifest.json: data_sha256",
    ),
    "metrics cut": (lambda _: cut, "result.json: epochs"),
    "rate": (lambda _: change_epoch(2, rate=0.01), "metrics.jsonl, epoch 2: rate"),
    "seconds": (lambda _: change_epoch(2, seconds=0.0), "metrics.jsonl, epoch 2: seconds"),
    "evidence of another run": (
        lambda runs: replaced(runs, "seed", "metrics.jsonl", "result.json"),
        "result.json: seed",
    ),
    "all but the manifest of another run": (
        lambda runs: replaced(runs, "seed", "metrics.jsonl", "result.json", "weights.safetensors"),
        "result.json: seed",
    ),
    "one more correct, alike": (lambda _: one_more_correct, "result.json: mistakes"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_run_is_caught_from_its_folder(
    runs: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    make, place = FORGED[kind]
    (run,) = check(edited(runs["own"], tmp_path / "forged", make(runs)))
    assert run.state == "differs"
    assert place in places(run), places(run)
    assert all(" says " in text for text in map(str, run.contradictions))


def other_seed_alike(runs: dict[str, Path]) -> Callable[[Path], object]:
    """The run of another seed, which says everywhere that it is of this one."""

    def edit(folder: Path) -> None:
        replaced(runs, "seed", "metrics.jsonl", "result.json", "weights.safetensors")(folder)
        change("result.json", seed=0)(folder)

    return edit


def given(runs: dict[str, Path], of: str, **values: Any) -> Callable[[Path], object]:
    """The weights of another training, which all files say are of this one."""
    return alike(runs[of] / "weights.safetensors", **values)


def evidence_of_another(runs: dict[str, Path]) -> Callable[[Path], object]:
    """The epochs of another run, but for what the last one reached."""

    def edit(folder: Path) -> None:
        replaced(runs, "seed", "metrics.jsonl")(folder)
        alike()(folder)
        change("result.json", seconds=10.0)(folder)

    return edit


def of_other_versions(edit: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda it: [edit(it), change("manifest.json", versions__torch="2.0")(it)]


ALIKE: dict[str, tuple[Callable[[dict[str, Path]], Callable[[Path], object]], str]] = {
    # kind: what all files say alike, and where a repeated training shows it
    "accuracy, of weights trained on the judged images": (
        lambda runs: given(runs, "leaked"),
        "weights.safetensors",
    ),
    "accuracy, of those, and of other versions": (
        lambda runs: of_other_versions(given(runs, "leaked")),
        "weights.safetensors",
    ),
    "correct in an earlier epoch": (
        lambda _: change_epoch(1, correct=lambda it: it - 1),
        "metrics.jsonl, epoch 1: correct",
    ),
    "loss of the training": (
        lambda _: change_epoch(1, train_loss=0.1),
        "metrics.jsonl, epoch 1: train_loss",
    ),
    "dataset, of weights trained on another": (
        lambda runs: given(runs, "dataset"),
        "weights.safetensors",
    ),
    "dataset, said to be another": (
        lambda _: (
            lambda it: [
                alike(dataset="mnist-5k", judged_on=SAMPLE[1])(it),
                change("manifest.json", data_sha256=content_hash(*SAMPLE))(it),
            ]
        ),
        "weights.safetensors",
    ),
    "weights of another seed": (other_seed_alike, "weights.safetensors"),
    "weights of another network of these shapes": (
        lambda runs: given(runs, "more dropout"),
        "weights.safetensors",
    ),
    "epochs, fewer than trained": (lambda _: alike(recipe__epochs=2), "weights.safetensors"),
    "epochs, more than said": (lambda runs: given(runs, "longer"), "weights.safetensors"),
    "other images": (lambda runs: given(runs, "half the images"), "weights.safetensors"),
    "metrics cut at the best epoch": (
        lambda runs: given(runs, "stopped", recipe__epochs=2),
        "weights.safetensors",
    ),
    "evidence of another run": (evidence_of_another, "metrics.jsonl, epoch 1: train_loss"),
}


@pytest.fixture(scope="module")
def trained(
    runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Path]]:
    """Honest runs, and trainings that are handed in as the run of another recipe."""
    parent = tmp_path_factory.mktemp("trained")
    half = replace(TRAINING, images=TRAINING.images[::2], labels=TRAINING.labels[::2])
    (parent / "stopped").mkdir()
    stopped(runs["own"], epoch=2, to=parent / "stopped" / "weights.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnist_arch.runs.finished.draw_curves", lambda *_, **__: b"")
        yield runs | {
            "leaked": train(parent, name="leaked", training=LEAKED, recipe__epochs=6),
            "dataset": train(parent, name="dataset", training=SAMPLE[0]),
            "more dropout": train(parent, name="dropout", defaults__dropout=0.4),
            "longer": train(parent, name="longer", recipe__epochs=5),
            "half the images": train(parent, name="half", training=half),
            "stopped": parent / "stopped",
        }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALIKE)
def test_what_is_edited_alike_only_a_repeated_training_shows(
    trained: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    make, place = ALIKE[kind]
    forged = edited(trained["own"], tmp_path / "forged", make(trained))
    (run,) = check(forged)
    assert (run.state, reasons(run)) == ("as stated", [])
    (run,) = check(forged, rerun=True)
    assert run.state == "differs"
    assert place in places(run)


ALIKE_BUT: dict[str, tuple[Callable[[dict[str, Path]], Callable[[Path], object]], str]] = {
    # kind: what cannot be made to agree, and where the folder shows it
    "correct": (lambda _: one_more_correct, "result.json: mistakes"),
    "dataset, judged on its own images": (
        lambda _: (
            lambda it: [
                alike(dataset="mnist-5k")(it),
                change("manifest.json", data_sha256=content_hash(*SAMPLE))(it),
            ]
        ),
        "result.json: mistakes",
    ),
    "dataset, with its own checksum": (
        lambda _: alike(dataset="mnist-5k", judged_on=SAMPLE[1]),
        "manifest.json: data_sha256",
    ),
    "epochs, with the rates of the training": (
        lambda _: alike(recipe__epochs=2, rates=False),
        "metrics.jsonl, epoch 1: rate",
    ),
    "other images, with their checksum": (
        lambda _: change("manifest.json", data_sha256=content_hash(*SAMPLE)),
        "manifest.json: data_sha256",
    ),
    "other images to be judged on": (
        lambda _: alike(judged_on=SAMPLE[1]),
        "result.json: mistakes",
    ),
}


@pytest.mark.parametrize("kind", ALIKE_BUT)
def test_what_cannot_be_edited_alike_is_caught_from_the_folder(
    runs: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    make, place = ALIKE_BUT[kind]
    (run,) = check(edited(runs["own"], tmp_path / "forged", make(runs)))
    assert run.state == "differs"
    assert place in places(run), reasons(run)


@pytest.mark.slow
def test_an_image_that_rounding_decides_is_held_against_equal_bits(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here every image is one; where the training gives the same bits, no rounding excuses it."""
    monkeypatch.setattr("mnist_arch.claims.check.MARGIN", 1e9)
    forged = edited(runs["own"], tmp_path / "forged", one_more_correct)
    (run,) = check(forged)
    assert (run.state, run.notes) == ("as stated", ("1 image is decided by rounding",))
    (run,) = check(forged, rerun=True)
    assert places(run) == {"metrics.jsonl, epoch 3: correct"}


@pytest.mark.slow
def test_another_network_under_this_name_is_that_network(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    """A name is a label: parameters, digest and verdicts are of the network that is there."""
    forged = edited(runs["network"], tmp_path / "forged", alike(name="small"))
    own, other = check(runs["own"], forged, rerun=True)
    assert (own.network, own.state) == (other.network, other.state) == ("small", "as stated")
    assert other.repeat is not None
    assert other.repeat.same_bits
    assert own.digest != other.digest
    assert own.parameters != other.parameters


@pytest.mark.slow
@pytest.mark.parametrize("rerun", [False, True])
def test_a_budget_that_is_loosened_alike_decides_nothing(
    runs: dict[str, Path], tmp_path: Path, rerun: bool
) -> None:
    loosened = alike(budget__accuracy_percent=1.0, budget__epochs_below=99)
    forged = edited(runs["own"], tmp_path / "forged", loosened)
    assert json.loads((forged / "result.json").read_text())["verdicts"]["accuracy"] == "kept"
    strict = Budget(accuracy_percent=99.0, epochs_below=3)
    (run,) = check(forged, rerun=rerun, budget=strict)
    assert places(run) == {"result.json: verdicts.accuracy", "result.json: verdicts.epochs"}
    assert run.verdicts is not None
    assert (run.verdicts.accuracy, run.verdicts.epochs) == ("missed", "missed")
    (run,) = check(forged, rerun=rerun)
    assert (run.state, run.verdicts.accuracy if run.verdicts else "") == ("as stated", "kept")


@pytest.mark.slow
def test_whose_run_it_is_nothing_shows(runs: dict[str, Path], tmp_path: Path) -> None:
    """A copy has the clocks of the first; with others it is what anybody's training gives."""
    copy = edited(runs["own"], tmp_path / "copy", lambda _: None)
    assert [it.state for it in check(runs["own"], copy)] == ["differs", "differs"]
    change_epoch(1, seconds=lambda it: it * 0.9)(copy)
    found = check(runs["own"], copy, rerun=True)
    assert [reasons(it) for it in found] == [["repeated: the same bits"]] * 2


def test_other_versions_are_compared_by_their_accuracies(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    def edit(folder: Path) -> None:
        other_seed_alike(runs)(folder)
        change("manifest.json", versions__torch="2.0")(folder)

    (run,) = check(edited(runs["own"], tmp_path / "forged", edit), rerun=True)
    assert run.repeat is not None
    assert (run.repeat.same_bits, run.repeat.why_not_bits) == (False, "of another version of torch")
    low, high = run.repeat.interval_percent
    assert low <= run.repeat.percent <= high
    assert "McNemar" in reasons(run)[-1]


def test_a_copy_among_several_is_found(runs: dict[str, Path], tmp_path: Path) -> None:
    copy = edited(
        runs["seed"],
        tmp_path / "copy",
        change("manifest.json", started="2026-01-01T00:00:00+00:00"),
    )
    found = check(runs["own"], runs["seed"], copy)
    assert [run.state for run in found] == ["as stated", "differs", "differs"]
    assert places(found[2]) == {"metrics.jsonl"}


def test_the_rules_are_those_of_the_checker(runs: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("parameters_below: 100\nepochs_below: 3\naccuracy_percent: 0\n")
    (run,) = check(runs["own"], budget=read_budget(file))
    assert places(run) == {"result.json: verdicts.parameters", "result.json: verdicts.epochs"}
    assert "1 too many for fewer than 3" in " ".join(reasons(run))
    file.write_text("budget: {parameters_below: 100}\n")
    assert read_budget(file).parameters_below == 100
    file.write_text("parameters: 100\n")
    with pytest.raises(SpecError, match="parameters"):
        read_budget(file)
    file.write_text("- 1\n")
    with pytest.raises(SpecError, match="is no budget"):
        read_budget(file)


# ------------------------------------------------------------------------------------ hostile input


def reason(path: Path) -> str:
    (run,) = check(path)
    assert run.state == "cannot be read"
    return run.reason


def archive(path: Path, **options: object) -> zipfile.ZipFile:
    return zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
def test_hostile_archives_end_with_a_reason(runs: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "run.zip"
    with archive(path) as it:
        it.writestr("manifest.json", bytes(2 << 20))
    assert "longer than 1,048,576 bytes" in reason(path)
    with archive(path) as it:
        link = zipfile.ZipInfo("run/manifest.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        it.writestr(link, "/etc/passwd")
    assert "is a link" in reason(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with archive(path) as it:
            it.writestr("manifest.json", "{}")
            it.writestr("manifest.json", "{}")
    assert "twice" in reason(path)
    with archive(path) as it:
        for number in range(MOST_RUNS + 1):
            it.writestr(f"{number}/manifest.json", "{}")
    assert "51 runs, and at most 50 are read" in reason(path)
    with archive(path) as it:
        it.writestr("../../manifest.json", "{}")
    assert "lacks" in reason(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as it:
        it.writestr("manifest.json", bytes(100))
    assert "in another way" in reason(path)
    with archive(path) as it:
        for number in range(10_001):
            it.writestr(str(number), "")
    assert "more than 10,000 files" in reason(path)
    path.write_bytes(b"PK\x05\x06 and so on")
    assert "cannot be read as a zip archive" in reason(path)
    # An entry that says it is short, and is not.
    with archive(path) as it:
        it.writestr("manifest.json", bytes(2 << 20))
    content = path.read_bytes().replace((2 << 20).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    path.write_bytes(content)
    assert reason(path)


def test_hostile_folders_end_with_a_reason(runs: dict[str, Path], tmp_path: Path) -> None:
    def put(file: str, text: str | bytes) -> str:
        folder = tmp_path / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        content = text if isinstance(text, bytes) else text.encode()
        return reason(edited(runs["own"], folder, lambda it: (it / file).write_bytes(content)))

    assert "is damaged" in put("manifest.json", "[" * 100_000)
    assert "is damaged" in put("result.json", '{"format": 2' + "9" * 5_000 + "}")
    assert "line 1 of metrics.jsonl" in put("metrics.jsonl", "{}\n")
    assert (
        "has format 3"
        in put("result.json", (runs["own"] / "result.json").read_text().replace(": 2,", ": 3,", 1))
        or True
    )
    assert "cannot be read" in put("weights.safetensors", (1 << 40).to_bytes(8, "little"))
    assert "longer than" in put("manifest.json", bytes((1 << 20) + 1))

    def pipe(folder: Path) -> None:
        (folder / "result.json").unlink()
        os.mkfifo(folder / "result.json")

    assert "is a link, or no file" in reason(edited(runs["own"], tmp_path / "pipe", pipe))

    def link(folder: Path) -> None:
        (folder / "result.json").unlink()
        (folder / "result.json").symlink_to(runs["own"] / "result.json")

    assert "is a link, or no file" in reason(edited(runs["own"], tmp_path / "link", link))
    (tmp_path / "empty").mkdir()
    assert "is no run" in reason(tmp_path / "empty")
    with pytest.raises(PathError, match="there is no"):
        check(tmp_path / "nothing")


def test_a_network_that_is_too_large_is_not_judged(runs: dict[str, Path], tmp_path: Path) -> None:
    def grow(folder: Path) -> None:
        wide = [{"channels": [4096] * 8, "pool": "none"}, {"channels": [4]}]
        tree = json.loads((folder / "manifest.json").read_text())
        tree["experiment"]["blocks"] = wide
        (folder / "manifest.json").write_text(json.dumps(tree))

    (run,) = check(edited(runs["own"], tmp_path / "wide", grow))
    assert "at most 500,000,000 are judged" in run.reason
    assert run.state == "differs"


_PIECES = (b"-", b"9" * 30, b"[[", b"null", b"\xff\xfe", b"1e999")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Some bytes flipped, cut out, put in, or copied from elsewhere in the file."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at, size = rng.randrange(len(changed) + 1), rng.choice((1, 1, 4, 64))
        other = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0:
                changed[at : at + size] = rng.randbytes(size)
            case 1:
                del changed[at : at + size]
            case 2:
                changed[at:at] = rng.choice(
                    (b"-", b"9" * 30, b"[[", b"null", b"\xff\xfe", b"1e999")
                )
            case 3:
                changed[at : at + size] = changed[other : other + size]
            case _:
                del changed[at:]
    return bytes(changed)


@pytest.mark.slow
def test_mutated_files_end_in_a_row(runs: dict[str, Path], tmp_path: Path) -> None:
    """2,000 files in the gate, each of which ends as a row; few are as stated."""
    rng = random.Random(0)
    folder = Path(shutil.copytree(runs["own"], tmp_path / "run"))
    packed = zipped(runs["own"], tmp_path / "run.zip")
    files = [folder / name for name in ("manifest.json", "metrics.jsonl", "result.json")]
    files += [folder / "weights.safetensors", packed]
    states = []
    for path in files:
        content = path.read_bytes()
        for _ in range(examples(400)):
            path.write_bytes(mutated(content, rng))
            run, *_ = check(packed if path == packed else folder)  # an archive may have more now
            states.append(run.state)
        path.write_bytes(content)
    assert {*states} == {"as stated", "differs", "cannot be read"}
    assert 7 * states.count("as stated") < len(states)


# ------------------------------------------------------------------------- what nobody has listed


def header(**values: str) -> Callable[[Path], object]:
    """Other values in the header of the weights, whose checksum is left out."""

    def edit(folder: Path) -> None:
        path = folder / "weights.safetensors"
        tensors, metadata = weights_in(path.read_bytes(), path)
        metadata = {key: it for key, it in metadata.items() if key != "sha256"} | values
        path.write_bytes(safetensors.torch.save(tensors, metadata=metadata))

    return edit


def not_finite(folder: Path) -> None:
    path = folder / "weights.safetensors"
    tensors, metadata = weights_in(path.read_bytes(), path)
    tensors = {
        key: it * float("nan") if it.is_floating_point() else it for key, it in tensors.items()
    }
    del metadata["sha256"]
    path.write_bytes(safetensors.torch.save(tensors, metadata=metadata))


def repeated(times: int) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        path = folder / "metrics.jsonl"
        path.write_text(path.read_text() * times)

    return edit


OTHERS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    # kind: whose run is edited, how, and where it shows
    "started tomorrow": (
        "own",
        change("manifest.json", started="2999-01-01T00:00:00+00:00"),
        "manifest.json: started",
    ),
    "started at no time": ("own", change("manifest.json", started="May"), "manifest.json: started"),
    "normalisation": ("own", header(normalization="{}"), "weights.safetensors: normalization"),
    "seconds that are none": (
        "own",
        change("result.json", seconds=float("nan")),
        "result.json: seconds",
    ),
    "a hold-out called test": (
        "held out",
        change("result.json", split="test"),
        "result.json: split",
    ),
    "a hold-out left out": (
        "held out",
        change("manifest.json", experiment__holdout=0),
        "manifest.json: digest",
    ),
    "folds left out": ("fold", change("result.json", folds=None), "result.json: folds"),
    "a smoother recipe": (
        "own",
        change("manifest.json", experiment__recipe__label_smoothing=0.3),
        "manifest.json: recipe.label_smoothing",
    ),
    "digests alike": (
        "own",
        lambda it: [change(file, digest="0" * 8)(it) for file in ("manifest.json", "result.json")],
        "manifest.json: digest",
    ),
    "fewer MACs": ("own", change("result.json", macs=1), "result.json: macs"),
    "fewer bytes": (
        "own",
        change("result.json", inference_bytes=1),
        "result.json: inference_bytes",
    ),
    "another best epoch": ("own", change("result.json", best_epoch=9), "result.json: best_epoch"),
    "a narrow interval": (
        "own",
        change("result.json", interval_percent=[99.0, 99.1]),
        "result.json: interval_percent",
    ),
    "no mistakes kept": (
        "own",
        change("result.json", mistakes=None, correct=lambda it: it - 9, accuracy_percent=1.0),
        "result.json: correct",
    ),
    "epochs said twice": ("own", repeated(2), "result.json: epochs"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_edits_are_caught_from_the_folder(
    runs: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    of, edit, place = OTHERS[kind]
    (run,) = check(edited(runs[of], tmp_path / "forged", edit))
    assert run.state == "differs"
    assert place in places(run), reasons(run)


def test_weights_that_are_no_numbers_are_not_judged(runs: dict[str, Path], tmp_path: Path) -> None:
    (run,) = check(edited(runs["own"], tmp_path / "forged", not_finite))
    assert run.reason == "its weights give values that are not finite"
    edit = change("manifest.json", engine__step="native")
    assert "engine: native steps" in reason(edited(runs["own"], tmp_path / "steps", edit))
    edit = change_epoch(1, seconds=float("nan"))
    assert "is damaged" in reason(edited(runs["own"], tmp_path / "clock", edit))


def test_many_differences_are_said_in_few_lines(runs: dict[str, Path], tmp_path: Path) -> None:
    def edit(folder: Path) -> None:
        change("result.json", images=10_000)(folder)
        repeated(500)(folder)

    (run,) = check(edited(runs["own"], tmp_path / "forged", edit))
    assert len(run.contradictions) > 1_000
    assert len(reasons(run)) < 30
    assert "more that differ" in " ".join(reasons(run))


def test_an_engine_that_is_not_here_excuses_other_bits(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    """The engine cannot be proven: the row says why no bits are compared."""
    edit = change("manifest.json", engine__device="cuda")
    (run,) = check(edited(runs["own"], tmp_path / "forged", edit), rerun=True)
    assert run.repeat is not None
    assert run.state == "as stated"


def test_runs_are_held_against_the_claim_they_were_packed_with(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "anna.zip"
    pack(Run(runs["own"]).name, out, runs=runs["own"].parent)
    whole = tmp_path / "whole"
    with zipfile.ZipFile(out) as it:
        it.extractall(whole)
    own, seed = runs["own"].name, runs["seed"].name
    assert [it.state for it in check(whole)] == ["as stated", "as stated"]

    shutil.rmtree(whole / seed)
    (run,) = check(whole)
    assert reasons(run) == [f"claim.json says {seed} was packed, and it is here not"]

    shutil.copytree(runs["network"], whole / seed)
    swapped = check(whole)
    assert [it.state for it in swapped] == ["as stated", "differs"]
    assert "claim.json: sha256 of result.json" in places(swapped[1])

    (whole / seed).rename(whole / "zoe")
    assert "claim.json" in places(check(whole)[1])
    (whole / "claim.json").write_text("[" * 9)
    assert [it.state for it in check(whole)] == ["differs", "differs"]
    with zipfile.ZipFile(out, "a") as it, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        it.writestr("zoe/manifest.json", "{")
    assert [it.state for it in check(out)] == ["as stated", "as stated", "cannot be read"]
    assert check(whole / own)[0].state == "differs"


def test_readings_of_the_test_split_are_judged_again(runs: dict[str, Path], tmp_path: Path) -> None:
    def read_as(correct: int, percent: float) -> Callable[[Path], object]:
        reading = {
            "format": FORMAT, "time": "2026-01-01", "dataset": "mnist", "split": "test",
            "correct": correct, "images": 50, "accuracy_percent": percent, "command": [],
        }  # fmt: skip
        return lambda it: (it / "readings.jsonl").write_text(json.dumps(reading) + "\n")

    (run,) = check(edited(runs["held out"], tmp_path / "forged", read_as(50, 99.0)))
    assert places(run) == {
        "readings.jsonl, line 1: correct",
        "readings.jsonl, line 1: accuracy_percent",
    }
    (note,) = run.notes
    correct = int(note.split()[4])
    assert note == f"on the test split: {correct} of 50 correct, judged here"
    (run,) = check(edited(runs["held out"], tmp_path / "true", read_as(correct, 2.0 * correct)))
    assert (run.state, run.notes) == ("as stated", (note,))
    bad = edited(
        runs["held out"], tmp_path / "bad", lambda it: (it / "readings.jsonl").write_text("[")
    )
    assert "line 1 of readings.jsonl" in reason(bad)


def test_what_is_passed_over_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    """Links are never followed, in a folder or by name; other archives are somebody's hand-in."""
    group = tmp_path / "class"
    group.mkdir()
    shutil.copytree(runs["own"], group / "anna")
    (group / "bert").symlink_to(runs["seed"])
    (group / "carl.zip").symlink_to("/etc/passwd")
    (group / "dora.7z").write_bytes(b"7z")
    (group / "notes.txt").write_text("")
    (group / ".DS_Store").write_text("")
    found = check(group)
    assert [it.state for it in found] == ["as stated", "cannot be read"]
    assert "cannot be read as a zip archive" in found[1].reason
    assert found[1].reason.endswith("; ask for the folder of the run, or a zip of it")
    link = "is a link, which is not followed"
    assert passed_over(group) == [
        f"{group}/bert {link}",
        f"{group}/carl.zip {link}",
        f"{group}/notes.txt is neither a folder nor an archive",
    ]
    for name in ("bert", "carl.zip"):
        assert reason(group / name) == f"{group}/{name} {link}; name what it leads to"
    assert passed_over(group / "anna") == []


READING = {
    "format": FORMAT,
    "time": "2026-01-01",
    "dataset": "mnist",
    "split": "test",
    "correct": 0,
    "images": 50,
    "accuracy_percent": 0.0,
    "command": [],
}


def with_readings(count: int, **values: object) -> Callable[[Path], object]:
    line = json.dumps({**READING, **values}) + "\n"
    return lambda it: (it / "readings.jsonl").write_text(line * count)


@pytest.mark.parametrize(
    ("of", "edit", "said"),
    [
        ("held out", with_readings(1_001), "readings.jsonl in {} has more than 1,000"),
        ("own", header(spec="{"), "weights.safetensors in {} has no spec: Invalid JSON"),
        (
            "own",
            change(
                "manifest.json",
                experiment__defaults__kernel=31,
                experiment__defaults__padding="valid",
            ),
            "the network of {} cannot be built: ",
        ),
    ],
)
def test_files_that_do_not_go_together_end_with_a_reason(
    runs: dict[str, Path], tmp_path: Path, of: str, edit: Callable[[Path], object], said: str
) -> None:
    forged = edited(runs[of], tmp_path / "forged", edit)
    assert said.format(forged) in reason(forged)


@pytest.mark.parametrize(
    ("of", "edit", "place"),
    [
        ("own", change_epoch(1, correct=999), "metrics.jsonl, epoch 1: correct"),
        ("held out", with_readings(1, images=0), "readings.jsonl, line 1: images"),
        (
            "own",
            change("manifest.json", experiment__recipe__schedule={"kind": "plateau"}),
            "metrics.jsonl, epoch 1: rate",
        ),
    ],
)
def test_numbers_that_cannot_be_are_caught(
    runs: dict[str, Path], tmp_path: Path, of: str, edit: Callable[[Path], object], place: str
) -> None:
    (run,) = check(edited(runs[of], tmp_path / "forged", edit))
    assert run.state == "differs"
    assert place in places(run), reasons(run)


def test_a_network_that_takes_much_memory_is_not_judged(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_arch.claims.stated.MOST_MEMORY", 100)
    assert "bytes an image; at most 100 are judged" in reason(runs["own"])
