"""The leaderboard: who is ranked and where, by exact counts, and what is said of the others."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from pathlib import Path

import pytest
from scipy import stats
from tiny_sweeps import HOLDOUT, Bench, blocks, planned

from mnist_arch.sweeps.leaderboard import board_of, draw_board, leaderboard, write_board
from mnist_arch.sweeps.ledger import TrialStatus
from mnist_arch.sweeps.standings import ArmScore, Leaderboard, Standing, csv_text
from mnist_arch.values import FORMAT

ARMS = [{"name": name, **blocks(size)} for name, size in (("a", 4), ("b", 2), ("c", 6), ("d", 3))]
FAT = {"name": "fat", **blocks(1_000)}
FINALISTS = {"top": 2, "seeds": 2}
WITHOUT_DROPOUT = {"defaults": {"dropout": 0.0}}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Four arms of 98, 54, 142 and 76 parameters, and one over the budget."""
    return Bench(tmp_path, planned(tmp_path, *ARMS, FAT, finalists=FINALISTS))


def board_at(bench: Bench, *, running: bool = False) -> Leaderboard:
    return leaderboard(bench.plan, bench.ledger, running=running)


def standing(board: Leaderboard, name: str) -> Standing:
    (found,) = (it for it in board.standings if it.name == name)
    return found


def ranks(board: Leaderboard) -> dict[str, int | None]:
    return {it.name: it.rank for it in board.standings}


# ------------------------------------------------------------------------------------------ ranks


def test_arms_are_ranked_by_their_mean_and_of_equals_the_smaller_is_first(bench: Bench) -> None:
    bench.rank("a", 90, 91, 92)
    bench.rank("b", 90, 90, 92)
    bench.rank("c", 89, 94, 93)
    bench.rank("d", 91, 91, 91)
    found = board_at(bench)
    assert ranks(found) == {"c": 1, "d": 2, "a": 3, "b": 4, "fat": None}
    assert [it.parameters for it in found.standings] == [142, 76, 98, 54, 22_010]


def test_means_that_rounding_would_make_equal_are_told_apart(tmp_path: Path) -> None:
    """One image in 150,000 is 0.000667 percent points, which a table of three places hides."""
    plan = planned(tmp_path, *ARMS[:2], dataset="mnist", holdout=50_000)
    bench = Bench(tmp_path, plan)
    bench.rank("a", 49_001, 49_000, 49_000)
    bench.rank("b", 49_000, 49_000, 49_000)
    assert ranks(board_at(bench)) == {"a": 1, "b": 2}


def test_an_arm_whose_trials_are_not_all_done_has_no_rank(bench: Bench) -> None:
    bench.rank("a", 50, 50, 50)
    bench.rank("b", 99, 99)
    bench.rank("c", 99, 99)
    bench.fail(bench.trial("c", 2), "the loss is not finite")
    found = board_at(bench)
    assert ranks(found) == {"a": 1, "b": None, "c": None, "d": None, "fat": None}
    for name in ("b", "c", "d", "fat"):
        it = standing(found, name)
        assert (it.holdout, it.against_first, it.test) == (None, None, None)
        assert not it.tied
        assert not it.front
    assert [trial.state for trial in standing(found, "c").trials] == ["DONE", "DONE", "FAILED"]
    assert [trial.reason for trial in standing(found, "c").failures] == ["the loss is not finite"]
    assert standing(found, "b").seconds == 20


def test_a_trial_that_was_ended_early_is_not_ranked(bench: Bench) -> None:
    bench.rank("a", 50, 50, 50)
    bench.rank("b", 99, 99, 99)
    bench.prune("b", 2)
    assert ranks(board_at(bench))["b"] is None


def test_what_is_rejected_comes_last_with_its_reason(tmp_path: Path) -> None:
    plan = planned(tmp_path, FAT, ARMS[1], grid={"blocks.0.reduce": [7, 10]})
    bench = Bench(tmp_path, plan)
    bench.rank("b", 1, 1, 1)
    found = board_at(bench)
    assert list(ranks(found)) == ["b", "reduce=10", "fat", "reduce=7"]
    fat, unbuilt = standing(found, "fat"), standing(found, "reduce=7")
    assert fat.rejected.startswith("22,010 parameters, 2,011 too many for fewer than 20,000")
    assert (fat.verdicts.parameters, fat.verdicts.epochs) == ("missed", "kept")
    assert unbuilt.rejected.startswith("cannot be built: ")
    assert unbuilt.parameters == 0
    assert set(unbuilt.verdicts.model_dump().values()) == {"none"}
    assert fat.trials == unbuilt.trials == []


def test_results_of_trials_that_are_no_longer_in_the_file_are_kept_and_not_ranked(
    bench: Bench, tmp_path: Path
) -> None:
    bench.rank("a", 90, 90, 90)
    bench.rank("b", 99, 99, 99)
    bench.rank("d", 80, 80, 80)
    before = board_at(bench)
    fewer = Bench(tmp_path, planned(tmp_path, ARMS[0], ARMS[3]))
    found = board_at(fewer)
    assert ranks(found) == {"a": 1, "d": 2}
    assert found.states == {TrialStatus.DONE: 6}
    back = Bench(tmp_path, planned(tmp_path, *ARMS, FAT, finalists=FINALISTS))
    assert board_at(back) == before


def test_more_seeds_take_the_rank_until_they_are_done(bench: Bench, tmp_path: Path) -> None:
    bench.rank("a", 90, 90, 90)
    more = Bench(tmp_path, planned(tmp_path, *ARMS, seeds=4))
    assert ranks(board_at(more))["a"] is None
    more.rank("a", 90, 90, 90, 94)
    check(standing(board_at(more), "a").holdout, 90, 90, 90, 94, seeds=[0, 1, 2, 3])


def test_names_may_change(tmp_path: Path) -> None:
    first = Bench(tmp_path, planned(tmp_path, {"name": "old", **blocks(6)}))
    first.rank("old", 95, 95, 95)
    (before,) = board_at(first).standings
    bench = Bench(tmp_path, planned(tmp_path, {"name": "new", **blocks(6)}))
    (it,) = board_at(bench).standings
    assert (it.name, it.rank) == ("new", 1)
    assert it.trials == before.trials  # their folders, too


def test_one_experiment_under_two_names_is_one_row(tmp_path: Path) -> None:
    plan = planned(
        tmp_path, ARMS[0], {"name": "again", **blocks(4)}, grid={"defaults.dropout": [0.2, 0.1]}
    )
    bench = Bench(tmp_path, plan)
    bench.rank("a", 90, 91, 92)
    found = board_at(bench)
    assert standing(found, "a").also == ["again", "dropout=0.2"]
    assert ranks(found) == {"a": 1, "dropout=0.1": None}
    assert found.states == {TrialStatus.DONE: 3, TrialStatus.WAITING: 3}


# ----------------------------------------------------------------------------------------- scores


def check(found: ArmScore | None, *correct: int, images: int = HOLDOUT, seeds: list[int]) -> None:
    """Works everything out in another way than the library does."""
    assert found is not None
    shares = [100 * count / images for count in correct]
    n, mean = len(correct), statistics.fmean(shares)
    assert (found.images, found.correct, found.seeds) == (images, list(correct), seeds)
    assert found.split == ("validation" if images == HOLDOUT else "test")
    assert found.mean_percent == pytest.approx(mean, abs=1e-12)
    if n == 1:
        assert found.spread_percent is found.bound_percent is None
        return
    spread = statistics.stdev(shares)
    half = float(stats.t.ppf(0.95, n - 1)) * spread / math.sqrt(n)
    assert found.spread_percent == pytest.approx(spread, abs=1e-12)
    assert found.bound_percent == pytest.approx(mean - half, abs=1e-12)


def test_a_score_has_mean_spread_bound_and_every_count(bench: Bench) -> None:
    bench.rank("a", 90, 93, 91, seconds=7.5)
    it = standing(board_at(bench), "a")
    check(it.holdout, 90, 93, 91, seeds=[0, 1, 2])
    assert it.seconds == 22.5
    assert [trial.seed for trial in it.trials] == [0, 1, 2]
    assert [trial.folder for trial in it.trials] == [
        bench.ledger.run(bench.trial("a", seed)).folder.name for seed in range(3)
    ]


def test_of_one_seed_there_is_no_spread(tmp_path: Path) -> None:
    bench = Bench(tmp_path, planned(tmp_path, ARMS[0], seeds=1))
    bench.rank("a", 93)
    check(standing(board_at(bench), "a").holdout, 93, seeds=[0])


def test_one_arm_alone_is_the_first_and_on_the_front(tmp_path: Path) -> None:
    bench = Bench(tmp_path, planned(tmp_path, ARMS[0]))
    bench.rank("a", 90, 91, 92)
    (it,) = board_at(bench).standings
    assert (it.rank, it.tied, it.front, it.against_first) == (1, True, True, None)


def test_before_anything_is_done_nothing_is_ranked(bench: Bench) -> None:
    found = board_at(bench)
    assert {it.rank for it in found.standings} == {None}
    assert found.states == {TrialStatus.WAITING: 12, TrialStatus.REJECTED: 3}
    assert found.effects == []
    assert found.exit_code is None


# ------------------------------------------------------------------------------------------ marks


def test_the_front_is_what_no_other_arm_beats(bench: Bench) -> None:
    bench.rank("a", 95, 95, 95)
    bench.rank("b", 90, 90, 90)
    bench.rank("c", 94, 94, 94)
    bench.rank("d", 89, 89, 89)
    found = board_at(bench)
    assert {it.name for it in found.standings if it.front} == {"a", "b"}


def test_a_larger_arm_that_is_as_accurate_is_not_on_the_front(bench: Bench) -> None:
    bench.rank("a", 95, 95, 95)
    bench.rank("c", 96, 95, 94)
    assert [it.name for it in board_at(bench).standings if it.front] == ["a"]


def test_of_two_arms_of_one_size_the_better_is_on_the_front(tmp_path: Path) -> None:
    other = {"name": "z", **blocks(4), **WITHOUT_DROPOUT}
    bench = Bench(tmp_path, planned(tmp_path, *ARMS, other))
    bench.rank("a", 95, 95, 95)
    bench.rank("z", 94, 95, 95)
    assert [it.name for it in board_at(bench).standings if it.front] == ["a"]


def test_arms_that_are_equal_in_both_share_the_front(tmp_path: Path) -> None:
    other = {"name": "z", **blocks(4), **WITHOUT_DROPOUT}
    bench = Bench(tmp_path, planned(tmp_path, *ARMS, other))
    bench.rank("a", 95, 95, 95)
    bench.rank("z", 94, 95, 96)
    bench.rank("d", 95, 94, 95)
    assert [it.name for it in board_at(bench).standings if it.front] == ["a", "z", "d"]


def test_with_three_seeds_arms_are_told_apart_by_welch_and_holm(tmp_path: Path) -> None:
    sizes = {"first": 4, "near": 5, "middle": 6, "far": 7, "farther": 8}
    counts = {
        "first": (94, 96, 98),
        "near": (93, 95, 97),
        "middle": (89, 91, 93),
        "far": (84, 86, 88),
        "farther": (70, 72, 74),
    }
    arms = [{"name": name, **blocks(size)} for name, size in sizes.items()]
    bench = Bench(tmp_path, planned(tmp_path, *arms))
    for name, correct in counts.items():
        bench.rank(name, *correct)
    found = board_at(bench)
    p_values = {
        name: float(stats.ttest_ind(counts[name], counts["first"], equal_var=False).pvalue)
        for name in list(counts)[1:]
    }
    assert 0.05 / 2 < p_values["middle"] < 0.05  # alone it would be told apart
    adjusted = {"farther": 4 * p_values["farther"], "far": 3 * p_values["far"]}
    adjusted |= {"middle": 2 * p_values["middle"], "near": p_values["near"]}
    assert list(adjusted.values()) == sorted(adjusted.values())
    for name, p_value in adjusted.items():
        difference = standing(found, name).against_first
        assert difference is not None
        assert (difference.test, difference.n) == ("welch", (3, 3))
        assert difference.p_value == pytest.approx(p_values[name])
        assert difference.adjusted_p_value == pytest.approx(p_value)
        assert standing(found, name).tied == (p_value >= 0.05)
        low, high = stats.ttest_ind(
            counts[name], counts["first"], equal_var=False
        ).confidence_interval()
        assert difference.interval_percent == pytest.approx((low, high))  # of 100 images
        assert difference.percent == pytest.approx(sum(counts[name]) / 3 - 96)
    assert [it.name for it in found.standings if it.tied] == ["first", "near", "middle"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_fewer_seeds_by_mcnemar_on_the_same_images(tmp_path: Path, seeds: int) -> None:
    bench = Bench(tmp_path, planned(tmp_path, *ARMS, seeds=seeds))
    wrong = {"a": range(5), "b": range(15), "c": range(20, 28)}
    for name, places in wrong.items():
        correct = [HOLDOUT - len(places)] * seeds
        bench.rank(name, *correct, mistakes=[list(places)] * seeds)
    bench.rank("d", *[50] * seeds)  # of before mistakes were kept
    found = board_at(bench)
    for name, gained, lost in (("b", 0, 10), ("c", 5, 8)):
        difference = standing(found, name).against_first
        assert difference is not None
        assert (difference.test, difference.n) == ("mcnemar", (seeds, seeds))
        p_value = stats.binomtest(gained, gained + lost).pvalue
        assert difference.p_value == pytest.approx(p_value)
        assert difference.percent == pytest.approx(gained - lost)
    assert [it.name for it in found.standings if it.tied] == ["a", "c"]
    assert standing(found, "d").against_first is None
    assert not standing(found, "d").tied


def test_the_difference_of_two_seeds_is_that_of_both(tmp_path: Path) -> None:
    """Seed 0 alone would say -2, and neither the JSON nor the CSV may say another than this."""
    bench = Bench(tmp_path, planned(tmp_path, *ARMS[:2], seeds=2))
    bench.rank("a", 97, 97, mistakes=[[1, 2, 3], [2, 3, 4]])
    bench.rank("b", 95, 89, mistakes=[[1, 2, 3, 4, 5], list(range(3, 14))])
    board = board_at(bench)
    difference = standing(board, "b").against_first
    assert difference is not None
    assert (difference.percent, difference.n) == (-5.0, (2, 2))
    first, second = (it.holdout for it in board.standings)
    assert first is not None
    assert second is not None
    assert second.mean_percent - first.mean_percent == difference.percent
    content = json.loads(board.json_text())["standings"][1]["against_first"]
    assert content["percent"] == -5.0
    (_, row) = csv.DictReader(io.StringIO(csv_text(board)))
    assert (row["difference_percent"], row["difference_test"]) == ("-5.0", "mcnemar")
    low, high = difference.interval_percent
    assert (float(row["difference_low"]), float(row["difference_high"])) == (low, high)
    assert low < -5.0 < high


# ---------------------------------------------------------------------------------------- effects


def test_a_grid_has_the_main_effects_of_what_can_be_matched(tmp_path: Path) -> None:
    grid = {"blocks.0.channels.0": [4, 6, 1_000], "defaults.dropout": [0.0, 0.2]}
    bench = Bench(tmp_path, planned(tmp_path, grid=grid))
    counts = (90, 92, 94), (80, 81, 82), (95, 95, 95), (70, 74, 78)
    cells = dict(zip((arm.name for arm in bench.plan.arms), counts, strict=False))
    assert list(cells)[1] == "channels[0]=4,dropout=0.2"
    for name, correct in cells.items():
        bench.rank(name, *correct)
    found = board_at(bench)
    assert found.states == {TrialStatus.DONE: 12, TrialStatus.REJECTED: 6}
    mean = [sum(correct) / 3 for correct in counts]
    wider = ((mean[2] - mean[0]) + (mean[3] - mean[1])) / 2
    dropped = ((mean[1] - mean[0]) + (mean[3] - mean[2])) / 2
    variance = sum(statistics.variance(correct) for correct in cells.values()) / 4
    # Each effect is the mean of two differences between means of three.
    half = float(stats.t.ppf(0.975, 8)) * math.sqrt(variance * 4 / 3) / 2
    wanted = {("blocks.0.channels.0", "6", "4"): wider, ("defaults.dropout", "0.2", "0.0"): dropped}
    assert {(it.axis, it.level, it.reference) for it in found.effects} == set(wanted)
    for it in found.effects:
        percent = wanted[it.axis, it.level, it.reference]
        assert it.percent == pytest.approx(percent)
        assert it.interval_percent == pytest.approx((percent - half, percent + half))
        assert (it.pairs, it.runs) == (2, 12)


def test_a_cell_that_is_not_done_or_has_another_name_in_the_list(tmp_path: Path) -> None:
    plan = planned(tmp_path, ARMS[0], grid={"defaults.dropout": [0.2, 0.1, 0.0]})
    bench = Bench(tmp_path, plan)
    bench.rank("a", 90, 90, 93)
    bench.rank("dropout=0.1", 91, 91, 94)
    bench.rank("dropout=0.0", 99, 99)
    (it,) = board_at(bench).effects
    assert (it.level, it.reference, it.percent) == ("0.1", "0.2", pytest.approx(1))


# -------------------------------------------------------------------------------------- finalists


def test_a_finalist_has_a_test_score_once_all_its_seeds_are_done(bench: Bench) -> None:
    bench.rank("a", 90, 90, 90)
    bench.rank("c", 95, 95, 95)
    bench.rank("d", 80, 80, 80)
    bench.judge("c", 970)
    bench.judge("a", 960, 964)
    found = board_at(bench)
    assert standing(found, "c").test is None
    check(standing(found, "a").test, 960, 964, images=1_000, seeds=[3, 4])
    assert [trial.state for trial in standing(found, "c").final] == ["DONE", "WAITING"]
    assert standing(found, "a").seconds == 30 + 40
    assert standing(found, "c").seconds == 30 + 20
    assert standing(found, "d").final == []
    assert found.states == {
        TrialStatus.DONE: 12,
        TrialStatus.WAITING: 3 + 1,
        TrialStatus.REJECTED: 3,
    }
    bench.judge("c", 970, 973)
    found = board_at(bench)
    check(standing(found, "c").test, 970, 973, images=1_000, seeds=[3, 4])
    assert ranks(found)["c"] == 1  # by the hold-out, whatever test says


def test_a_finalist_that_fails_is_said_with_its_reason(bench: Bench) -> None:
    bench.rank("a", 90, 90, 90)
    bench.judge("a", 960)
    bench.fail(bench.plan.final_trials(bench.arm("a"))[1], "killed")
    found = board_at(bench)
    it = standing(found, "a")
    assert it.test is None
    assert [(trial.seed, trial.reason) for trial in it.failures] == [(4, "killed")]
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("correct", "verdict"), [((9_939, 9_941), "kept"), ((9_939, 9_940), "missed")]
)
def test_the_accuracy_rule_is_judged_on_finalists_by_counts(
    tmp_path: Path, correct: tuple[int, int], verdict: str
) -> None:
    plan = planned(tmp_path, *ARMS[:2], dataset="mnist", finalists={"top": 1, "seeds": 2})
    bench = Bench(tmp_path, plan)
    bench.rank("a", 99, 99, 99)
    bench.rank("b", 98, 98, 98)
    bench.judge("a", *correct)
    found = board_at(bench)
    rules = standing(found, "a").verdicts
    assert (rules.parameters, rules.epochs, rules.accuracy) == ("kept", "kept", verdict)
    assert standing(found, "b").verdicts.accuracy == "none"


def test_the_embedded_sample_has_no_verdict(bench: Bench) -> None:
    bench.rank("a", 99, 99, 99)
    bench.judge("a", 1_000, 1_000)
    assert standing(board_at(bench), "a").verdicts.accuracy == "none"


# --------------------------------------------------------------------------------- states and files


def test_a_trial_that_was_begun_is_running_only_while_a_process_works(bench: Bench) -> None:
    bench.begin("a", 0)
    for board in (leaderboard(bench.plan, bench.ledger), board_of(bench.plan, bench.ledger)):
        assert board.states == {TrialStatus.WAITING: 12, TrialStatus.REJECTED: 3}
        assert not board.failed
    found = board_at(bench, running=True)
    assert found.states == {
        TrialStatus.WAITING: 11,
        TrialStatus.RUNNING: 1,
        TrialStatus.REJECTED: 3,
    }
    assert [bool(trial.folder) for trial in standing(found, "a").trials] == [True, False, False]


def filled(bench: Bench) -> Leaderboard:
    """A board with something of everything."""
    bench.rank("a", 90, 91, 93)
    bench.rank("c", 95, 94, 97)
    bench.rank("b", 70, 71)
    bench.fail(bench.trial("b", 2), 'a reason, with "quotes"\nand a line')
    bench.judge("c", 970, 973)
    return board_at(bench)


def test_json_says_everything_exactly(bench: Bench) -> None:
    found = filled(bench)
    text = found.json_text()
    assert Leaderboard.model_validate_json(text) == found
    content = json.loads(text)
    assert content["format"] == FORMAT
    assert content["budget"]["parameters_below"] == 20_000
    assert content["states"] == {"DONE": 10, "FAILED": 1, "REJECTED": 3, "WAITING": 5}
    first = content["standings"][0]
    assert first["holdout"]["mean_percent"] == 100 * sum(first["holdout"]["correct"]) / (
        3 * HOLDOUT
    )


def test_csv_is_a_line_an_arm(bench: Bench) -> None:
    found = filled(bench)
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert len(rows) == len(found.standings) == 5
    for row, it in zip(rows, found.standings, strict=True):
        assert None not in row
        assert (row["name"], row["parameters"], row["macs"]) == (
            it.name,
            str(it.parameters),
            str(it.macs),
        )
        assert row["rank"] == ("" if it.rank is None else str(it.rank))
        assert row["format"] == str(FORMAT)
        for split, score in (("holdout", it.holdout), ("test", it.test)):
            assert int(row[f"{split}_runs"]) == (len(score.seeds) if score else 0)
            for part in ("mean_percent", "spread_percent"):
                cell = row[f"{split}_{part}"]
                assert (float(cell) if cell else None) == (getattr(score, part) if score else None)
        difference = it.against_first
        assert row["difference_percent"] == ("" if difference is None else str(difference.percent))
        assert row["tied_with_first"] == str(it.tied)
        assert row["keeps_accuracy"] == it.verdicts.accuracy
    assert [row["state"] for row in rows] == [
        "3 DONE",
        "3 DONE",
        "2 DONE, 1 FAILED",
        "3 WAITING",
        "REJECTED",
    ]
    assert rows[2]["reason"] == 'a reason, with "quotes"\nand a line'
    assert rows[4]["reason"].startswith("22,010 parameters")
    assert "blocks=[{channels: [6]" in rows[0]["differs"]


@pytest.mark.slow
def test_the_files_are_what_the_board_says(bench: Bench) -> None:
    found = filled(bench)
    write_board(found, bench.folder)
    draw_board(found, bench.folder)
    assert (bench.folder / "leaderboard.json").read_text() == found.json_text()
    assert (bench.folder / "leaderboard.csv").read_text() == csv_text(found)
    assert (bench.folder / "leaderboard.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_rank_there_is_no_picture(bench: Bench) -> None:
    write_board(board_at(bench), bench.folder)
    names = sorted(path.name for path in bench.folder.iterdir())
    assert names == ["leaderboard.csv", "leaderboard.json"]


def test_a_sweep_without_a_search_has_no_proposals(bench: Bench) -> None:
    bench.rank("a", 90, 91, 93)
    assert board_of(bench.plan, bench.ledger) == board_at(bench)
    assert board_at(bench).search is None


@pytest.mark.slow
def test_a_hundred_arms_are_in_order(tmp_path: Path) -> None:
    grid = {
        f"recipe.augment.{name}": list(range(10)) for name in ("rotate_degrees", "shear_degrees")
    }
    bench = Bench(tmp_path, planned(tmp_path, grid=grid, seeds=1))
    for number, arm in enumerate(bench.plan.arms, start=1):
        bench.rank(arm.name, number)
    found = board_at(bench)
    assert [it.rank for it in found.standings] == list(range(1, 101))
    assert [it.name for it in found.standings[:2]] == [
        "rotate_degrees=9,shear_degrees=9",
        "rotate_degrees=9,shear_degrees=8",
    ]
