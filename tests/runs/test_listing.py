"""What was done, at a glance: every run below a folder, found by the name that it is shown by."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_runs import make_run, tiny

from mnist_arch.errors import RunError, RunLocked, SpecError
from mnist_arch.files import hold
from mnist_arch.runs.comparing import compare
from mnist_arch.runs.find import find
from mnist_arch.runs.folder import Run, all_runs
from mnist_arch.runs.keeping import empty_bin, pack, remove, rename
from mnist_arch.runs.listing import Condition, chosen, in_order, lines_of, matching
from mnist_arch.runs.resolve import find_run
from mnist_arch.runs.result import Result
from mnist_arch.runs.stored import short_number
from mnist_arch.values import read_record


def change(run: Run, origins: dict[str, str]) -> Run:
    """Says where values of the run came from."""
    content = json.loads(run.manifest_path.read_text())
    run.manifest_path.write_text(json.dumps({**content, "origins": origins}))
    return run


def score(run: Run, *wrong: int, images: int = 100) -> Run:
    """Gives a run a result with these mistakes."""
    result = read_record(run.result_path, Result)
    count = images - len(wrong)
    update = {"correct": count, "images": images, "mistakes": list(wrong)}
    run.result_path.write_text(result.model_copy(update=update).json_text())
    return run


def test_an_experiment_is_a_line_with_its_seeds(tmp_path: Path) -> None:
    for seed in (0, 1):
        score(make_run(tmp_path, tiny("a"), seed=seed), *range(seed + 1))
    make_run(tmp_path, tiny("b", holdout=20), started="2026-02-01", finished=False)
    late, early = lines_of(tmp_path)
    assert (late.name, late.states, late.split) == ("b", {"unfinished": 1}, "validation")
    assert late.parameters == 98  # counted, where no result says so
    assert [run.seed for run in early.runs] == [0, 1]
    assert early.scores is not None
    assert early.scores.mean_percent == 98.5
    assert early.scores.spread_percent == pytest.approx(0.7071, abs=1e-4)
    assert early.bytes == sum(
        path.stat().st_size for run in early.runs for path in run.folder.iterdir()
    )


def test_the_state_of_every_run(tmp_path: Path) -> None:
    failed = make_run(tmp_path, tiny("failed"), finished=False)
    failed.failure_path.write_text("{}")
    make_run(tmp_path, tiny("damaged")).manifest_path.write_text("{")
    other = make_run(tmp_path, tiny("other"))
    other.manifest_path.write_text(
        other.manifest_path.read_text().replace('"format": 2', '"format": 1')
    )
    make_run(tmp_path, tiny("gone")).put_aside()
    running = make_run(tmp_path, tiny("running"), finished=False)
    with hold(running.folder):
        found = {line.name: line.runs[0].state for line in lines_of(tmp_path)}
    assert found == {
        "failed": "failed",
        "damaged": "damaged",
        "other": "other format",
        "running": "running",
    }


def test_manifests_are_read_in_whatever_lines_they_are_written(tmp_path: Path) -> None:
    """This program's are not parsed as a whole, which would take most of the time."""
    run = make_run(tmp_path, tiny("a", recipe={"epochs": 3}), finished=False)
    run.rename("shown")
    whole = json.loads(run.manifest_path.read_text())
    (line,) = lines_of(tmp_path)
    assert (line.name, line.network, line.epochs, line.dataset) == ("shown", "a", 3, "mnist")
    for text in (
        json.dumps(whole),
        json.dumps(whole, indent=4, sort_keys=True),
        json.dumps(whole, indent=2),
        json.dumps({**whole, "origins": {"x": '"experiment": {'}}, indent=2, sort_keys=True),
    ):
        run.manifest_path.write_text(text)
        assert lines_of(tmp_path)[0] == replace(line, runs=lines_of(tmp_path)[0].runs), text


def test_a_damaged_experiment_hides_no_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny("a"))
    text = run.manifest_path.read_text()
    run.manifest_path.write_text(text.replace('"classes": 10', '"classes": 1 0'))
    (line,) = lines_of(tmp_path)
    assert (line.name, line.parameters, line.dataset) == ("a", 98, "mnist")
    assert line.value("recipe.ema") is None


@pytest.mark.parametrize("origin", ["--set defaults.dropout=0.1", "set['defaults.dropout']"])
def test_a_network_changed_by_a_flag_says_so_in_its_name(tmp_path: Path, origin: str) -> None:
    whole = tiny("a", defaults={"dropout": 0.1})
    run = change(make_run(tmp_path, whole), {"defaults.dropout": origin, "recipe.ema": "--set x"})
    (line,) = lines_of(tmp_path)
    assert line.name == "a+defaults.dropout=0.1"
    for word in (line.name, "a"):
        assert find(word, runs=tmp_path).run == run, word
    as_it_is = make_run(tmp_path, tiny("a"), started="2025-01-01")
    assert find("a", runs=tmp_path).run == as_it_is
    assert find(line.name, runs=tmp_path).run == run


def test_what_differs_is_said_against_the_network_that_ships(tmp_path: Path) -> None:
    origins = {"recipe.ema": "--set recipe.ema=0.9", "recipe.batch_size": "mine.yaml:3"}
    change(make_run(tmp_path, tiny("a")), {"head.pool": "zoo/s6.yaml:3", **origins})
    assert lines_of(tmp_path)[0].differs == {"recipe.ema": "0.9", "recipe.batch_size": "64"}


def test_moved_and_renamed_folders_keep_their_name(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny("a"))
    moved = tmp_path / "archive" / "the best one"
    moved.parent.mkdir()
    run.folder.rename(moved)
    assert [line.name for line in lines_of(tmp_path)] == ["a"]
    for word in ("a", "archive/the best one"):
        assert find(word, runs=tmp_path).run == Run(moved), word
        assert chosen(word, runs=tmp_path)[0].runs[0].folder == moved


def test_a_trial_is_found_by_its_sweep_and_arm(tmp_path: Path) -> None:
    run = make_run(tmp_path / "sweep", tiny("arm"))
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    assert [line.name for line in lines_of(tmp_path)] == ["sweep/arm"]
    for word in ("sweep/arm", f"sweep/{run.folder.name}"):
        assert find_run(word, runs=tmp_path) == run
    with pytest.raises(RunError, match="no run and no network is named 'arm'"):
        find("arm", runs=tmp_path)
    with pytest.raises(RunError, match="'sweep' is a sweep") as caught:
        chosen("sweep", runs=tmp_path)
    assert caught.value.hint == "such as sweep/arm"


@pytest.mark.parametrize("board", ["{", '{"standings": 1}', '{"standings": [{"name": "x"}]}'])
def test_a_damaged_leaderboard_hides_no_run(tmp_path: Path, board: str) -> None:
    make_run(tmp_path / "sweep", tiny("arm"))
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    (tmp_path / "sweep" / "leaderboard.json").write_text(board)
    assert [line.name for line in lines_of(tmp_path)] == ["sweep/arm"]


def test_runs_are_chosen_by_pattern_and_conditions(tmp_path: Path) -> None:
    for name, wrong in {"a-one": 1, "a-two": 2, "b": 3}.items():
        score(make_run(tmp_path, tiny(name)), *range(wrong))
    lines = lines_of(tmp_path)

    def names(pattern: str | None, *where: str) -> list[str]:
        found = matching(lines, pattern, [Condition.of(text) for text in where])
        return [it.name for it in in_order(found, "-accuracy")]

    assert names("a") == ["a-one", "a-two"]
    assert names("?-t*") == ["a-two"]
    assert names(None, "accuracy>97.5", "name!=a-one") == ["a-two"]
    assert names(None, "recipe.batch_size = 64", "state=done") == ["a-one", "a-two", "b"]
    assert names(None, "parameters < 1") == []
    for text, said in {
        "parameters": "is no condition",
        "speed<3": "runs have no field 'speed'",
        "parameters<few": "'few' is none",
        "recipe.epoch<3": "no spec of these runs has recipe.epoch",
    }.items():
        with pytest.raises(SpecError, match=said):
            names(None, text)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("parameters<98", []),
        ("parameters<=98", ["a", "b"]),
        ("parameters>98", []),
        ("parameters>=98", ["a", "b"]),
        ("parameters==98", ["a", "b"]),
        ("parameters!=98", []),
        ("accuracy<100", ["a"]),  # b has none
        ("accuracy!=99", ["b"]),
        ("recipe.schedule.kind=one-cycle", ["a", "b"]),
        ("recipe.unheard!=3", None),
    ],
)
def test_every_sign_of_a_condition(
    tmp_path: Path, condition: str, expected: list[str] | None
) -> None:
    score(make_run(tmp_path, tiny("a")), 0)
    make_run(tmp_path, tiny("b"), finished=False)
    where = [Condition.of(condition)]
    if expected is None:
        with pytest.raises(SpecError, match="no spec of these runs has recipe"):
            matching(lines_of(tmp_path), None, where)
    else:
        assert sorted(it.name for it in matching(lines_of(tmp_path), None, where)) == expected


@pytest.mark.parametrize(
    ("name", "content", "state"),
    [
        ("manifest.json", b"\xff", "damaged"),
        ("manifest.json", None, "damaged"),
        ("result.json", b"{", "damaged"),
        ("result.json", None, "damaged"),
        ("metrics.jsonl", b"{", "unfinished"),
        ("pruned.json", b"{}", "pruned"),
    ],
)
def test_files_that_cannot_be_read_hide_no_run(
    tmp_path: Path, name: str, content: bytes | None, state: str
) -> None:
    run = make_run(tmp_path, tiny("a"), finished=name not in ("metrics.jsonl", "pruned.json"))
    path = run.folder / name
    path.unlink(missing_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    (line,) = lines_of(tmp_path)
    assert (line.runs[0].state, line.runs[0].epochs_done) == (state, 0)
    assert line.accuracy_percent is None


@pytest.mark.parametrize(
    ("folds", "mean"),
    [
        (({"folds": 2, "fold": 0}, {"folds": 2, "fold": 1}), 98.5),
        (({"folds": 2, "fold": 0}, {"folds": 3, "fold": 1}), None),
        (({"folds": 2, "fold": 0}, None), None),
        (({"folds": 1, "fold": 0}, {"folds": "two", "fold": 1}), 98.5),  # which are no folds
    ],
)
def test_a_mean_over_folds_is_of_one_cross_validation(
    tmp_path: Path, folds: tuple[object, ...], mean: float | None
) -> None:
    for seed, own in enumerate(folds):
        run = score(make_run(tmp_path, tiny("a"), seed=seed), *range(seed + 1))
        content = json.loads(run.result_path.read_text())
        run.result_path.write_text(json.dumps({**content, "folds": own}))
    (line,) = lines_of(tmp_path)
    assert line.accuracy_percent == mean


def test_a_mean_is_of_the_same_images_only(tmp_path: Path) -> None:
    score(make_run(tmp_path, tiny("a"), seed=0), 0)
    score(make_run(tmp_path, tiny("a"), seed=1), 0, images=50)
    (line,) = lines_of(tmp_path)
    assert line.scores is None
    assert line.accuracy_percent is None
    assert line.interval_percent is None
    assert [run.accuracy_percent for run in line.runs] == [99, 98]


def test_networks_are_compared_as_a_sweep_does(tmp_path: Path) -> None:
    for seed in range(3):
        score(make_run(tmp_path, tiny("a"), seed=seed), *range(seed))
        score(make_run(tmp_path, tiny("b"), seed=seed), *range(10 + seed))
        score(make_run(tmp_path / "sweep", tiny("c"), seed=seed), *range(seed))
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    first, second, third = compare(["a", "b", "sweep/c"], runs=tmp_path)
    assert first.against_first is None
    assert second.against_first is not None
    assert second.against_first.test == "welch"
    assert second.against_first.percent == -10
    assert second.against_first.significant
    assert third.against_first is not None
    assert third.against_first.adjusted_p_value == 1
    one, other = (line.runs[0].folder.name for line in lines_of(tmp_path) if not line.sweep)
    _, alone = compare([one, other], runs=tmp_path)
    assert alone.against_first is not None
    assert alone.against_first.test == "mcnemar"


def test_networks_are_compared_on_the_same_images_only(tmp_path: Path) -> None:
    make_run(tmp_path, tiny("a"))
    make_run(tmp_path, tiny("b", holdout=20))
    with pytest.raises(RunError, match="not judged on the same images: a: 2 mnist test images"):
        compare(["a", "b"], runs=tmp_path)
    make_run(tmp_path, tiny("b"), started="2025-01-01")
    assert [it.score.split for it in compare(["a", "b"], runs=tmp_path)] == ["test", "test"]


def test_nothing_is_compared_with_itself(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, tiny("a"), seed=seed) for seed in (0, 1)]
    one, other = (run.folder.name for run in runs)
    for words, said in {("a", "a"): "a is named twice", ("a", one): f"{one} is of a"}.items():
        with pytest.raises(RunError, match=said):
            compare(words, runs=tmp_path)
    assert len(compare([one, other], runs=tmp_path)) == 2


def test_one_of_several_experiments_of_a_name_is_named_by_its_digest(tmp_path: Path) -> None:
    """By every command: each seed of it, and nothing else."""
    for epochs in (3, 4):
        one = tiny("a", recipe={"epochs": epochs})
        them = [make_run(tmp_path, one, seed=seed) for seed in (0, 1)]
    name = them[0].folder.name.removesuffix("-s0")
    folders = [run.folder for run in them]
    with pytest.raises(RunError, match="is the name of 2 experiments") as caught:
        pack("a", tmp_path / "claim.zip", runs=tmp_path)
    assert name in caught.value.hint
    (line,) = chosen(name, runs=tmp_path)
    assert [run.folder for run in line.runs] == folders
    assert {run.folder for run in all_runs(tmp_path, name=name)} == set(folders)
    assert find(name, runs=tmp_path).run in them
    assert "claim.json" in pack(name, tmp_path / "claim.zip", runs=tmp_path)
    make_run(tmp_path, tiny("c"))
    assert compare(["c", name], runs=tmp_path)[0].name == "c"
    assert compare([name, "c"], runs=tmp_path)[0].name == name
    rename(name, "b", runs=tmp_path)
    assert len(chosen(f"b{name[1:]}", runs=tmp_path)) == len(chosen(name, runs=tmp_path)) == 1
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    trial = make_run(tmp_path / "sweep", tiny("c"))
    named = f"sweep/{trial.folder.name.removesuffix('-s0')}"
    assert find(named, runs=tmp_path).run == trial
    assert len(chosen(named, runs=tmp_path)) == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0.029313386761146573", "0.02931"),
        ("0.1", "0.1"),
        ("-1.5000000000000002e-05", "-1.5e-05"),
        ("1000000", "1000000"),
        ("cosine", "cosine"),
    ],
)
def test_a_drawn_number_is_shown_by_four_digits(value: str, shown: str) -> None:
    assert short_number(value) == shown


def test_the_score_of_removed_seeds_goes_with_the_last_of_them(tmp_path: Path) -> None:
    first, last = (make_run(tmp_path, tiny("a"), seed=seed) for seed in (0, 1))
    score = tmp_path / f"{first.folder.name.removesuffix('-s0')}-seeds2.json"
    score.write_text("{}")
    remove([first.folder.name], runs=tmp_path)
    assert score.exists()
    assert [was for was, _ in remove(["a"], runs=tmp_path)] == [last.folder, score]
    assert not score.exists()


def test_all_seeds_get_a_new_name(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, tiny("a"), seed=seed) for seed in (0, 1)]
    make_run(tmp_path, tiny("b"))
    assert rename("a", "champion", runs=tmp_path) == [run.folder for run in runs]
    found = find("champion", runs=tmp_path)
    assert (found.name, found.experiment.name, found.seed in (0, 1)) == ("champion", "a", True)
    for new, said in {
        "b": "another run",
        "s6": "a network that ships",
        "x y": "is no name",
    }.items():
        with pytest.raises(SpecError, match=said):
            rename("champion", new, runs=tmp_path)
    make_run(tmp_path / "sweep", tiny("arm"))
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    with pytest.raises(RunError, match="is a trial of the sweep sweep"):
        rename("sweep/arm", "other", runs=tmp_path)


def test_runs_go_to_the_bin_first(tmp_path: Path) -> None:
    run, used = make_run(tmp_path, tiny("a")), make_run(tmp_path, tiny("b"))
    with hold(used.folder), pytest.raises(RunLocked):
        remove(["a", "b"], runs=tmp_path)
    assert len(lines_of(tmp_path)) == 2
    ((was, now),) = remove(["a"], runs=tmp_path)
    assert (was, now.name) == (run.folder, run.folder.name)
    assert Run(now).result() is not None
    assert [line.name for line in lines_of(tmp_path)] == ["b"]
    assert empty_bin(tmp_path) == 1
    assert not now.exists()


def test_a_claim_is_packed_the_same_each_time(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(tmp_path, tiny("a"), seed=seed)
    out = tmp_path / "claim.zip"
    names = pack("a", out, runs=tmp_path)
    first = out.read_bytes()
    assert pack("a", out, runs=tmp_path) == names
    assert out.read_bytes() == first
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == names
        claim = json.loads(archive.read("claim.json"))
    assert claim["score"]["seeds"] == [0, 1]
    assert set(claim["sha256"]) == set(names) - {"claim.json"}
    make_run(tmp_path, tiny("b"), finished=False)
    with pytest.raises(RunError, match="is unfinished"):
        pack("b", out, runs=tmp_path)


def test_the_nearest_names_are_said(tmp_path: Path) -> None:
    make_run(tmp_path, tiny("network"))
    with pytest.raises(RunError) as caught:
        chosen("netwrk", runs=tmp_path)
    assert caught.value.hint == "did you mean network?"
