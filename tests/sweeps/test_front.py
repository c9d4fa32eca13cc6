"""The picture of a leaderboard shows every ranked arm at its place, whatever there is to show."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.text import Text

from mnist_arch.data.catalog import SplitName
from mnist_arch.drawing import BLUE, ORANGE, RED, SOFT, Format, file_bytes
from mnist_arch.evaluation.judgement import SeedAccuracies
from mnist_arch.spec.experiment import Budget, Verdicts
from mnist_arch.sweeps import front as picture
from mnist_arch.sweeps.front import NAMED, draw_front
from mnist_arch.sweeps.ledger import TrialStatus
from mnist_arch.sweeps.standings import ArmScore, Leaderboard, Outcome, Proposed, Standing

IMAGES = 5000


def scored(
    percents: Sequence[float], split: SplitName = "validation", first_seed: int = 0
) -> ArmScore:
    correct = [round(IMAGES * percent / 100) for percent in percents]
    score = SeedAccuracies.of(correct, IMAGES)
    return ArmScore(
        split=split,
        images=IMAGES,
        seeds=list(range(first_seed, first_seed + len(correct))),
        correct=correct,
        mean_percent=score.mean_percent,
        spread_percent=score.spread_percent,
        bound_percent=score.bound_percent,
    )


@dataclass(frozen=True)
class Arm:
    """What a test says of an arm."""

    name: str
    parameters: int
    percents: tuple[float, ...]
    tied: bool = True
    test: tuple[float, ...] = ()
    rejected: str = ""
    state: TrialStatus = TrialStatus.DONE


def board(*arms: Arm, parameters_below: int = 20_000, rejected: int = 0) -> Leaderboard:
    """A leaderboard of arms in any order; those without results come last."""
    done = sorted(
        (arm for arm in arms if arm.percents),
        key=lambda arm: (-sum(arm.percents) / len(arm.percents), arm.parameters),
    )
    smallest = 10**9
    standings = []
    for rank, arm in enumerate(done, start=1):
        standings.append(standing(arm, rank, front=arm.parameters < smallest))
        smallest = min(smallest, arm.parameters)
    standings += [standing(arm, None, front=False) for arm in arms if not arm.percents]
    return Leaderboard(
        name="some-sweep",
        dataset="mnist-5k",
        holdout_images=IMAGES,
        budget=Budget(parameters_below=parameters_below),
        standings=standings,
        effects=[],
        states={},
        search=Proposed(trials=0, rejected=rejected, repeated=0, shortfall="", is_given_up=False),
    )


def standing(arm: Arm, rank: int | None, *, front: bool) -> Standing:
    return Standing(
        rank=rank,
        name=arm.name,
        also=[],
        differs={},
        parameters=arm.parameters,
        macs=1,
        epochs=8,
        trials=[Outcome(seed=0, state=arm.state)],
        rejected=arm.rejected,
        holdout=scored(arm.percents) if arm.percents else None,
        against_first=None,
        tied=arm.tied and rank is not None,
        front=front,
        test=scored(arm.test, "test", 3) if arm.test else None,
        seconds=1.0,
        verdicts=Verdicts(parameters="kept", epochs="kept", accuracy="none"),
    )


USUAL = (
    Arm("best", 18_318, (99.3, 99.34, 99.38), test=(99.4, 99.44, 99.5, 99.46, 99.42)),
    Arm("second_$x$", 18_318, (99.26, 99.3, 99.34), test=(99.3, 99.36, 99.34, 99.4, 99.38)),
    Arm("same-size", 18_318, (99.2, 99.26, 99.3)),
    Arm("smaller", 16_266, (99.0, 99.06, 99.1), tied=False),
    Arm("once", 9_000, (98.6,), tied=False),
)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were drawn."""
    found: list[Figure] = []

    def keep(figure: Figure, kind: Format) -> bytes:
        found.append(figure)
        return file_bytes(figure, kind)

    monkeypatch.setattr(picture, "file_bytes", keep)
    return found


def dots(axes: Axes, marker: str) -> list[tuple[float, float, str]]:
    """Place and colour of every mark of a kind."""
    lines = [line for line in axes.lines if line.get_marker() == marker and len(line.get_xdata())]
    found: list[tuple[float, float, Any]] = []
    for line in lines:
        (x,), (y,) = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        found.append((float(x), float(y), line.get_color()))
    return found


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def meanings(figure: Figure) -> list[str]:
    """What the legend explains."""
    legend = figure.axes[1].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.slow
def test_every_arm_is_at_its_place_with_its_number(figures: list[Figure]) -> None:
    assert draw_front(board(*USUAL)).startswith(b"\x89PNG")
    axes, key = figures[0].axes
    found = dots(axes, "o")
    assert [y for _, y, _ in found] == pytest.approx([99.34, 99.3, 99.253333, 99.053333, 98.6])
    assert [x for x, _, _ in found] == [18_318, 18_318, 18_318, 16_266, 9_000]
    assert [same_color(color, BLUE) for _, _, color in found] == [True] * 3 + [False] * 2
    assert all(same_color(color, SOFT) for _, _, color in found[3:])
    assert words(axes) == ["1", "2", "3", "4", "5"]
    assert words(key)[:6] == ["1", "best", "99.340 ± 0.040", "2", "second_$x$", "99.300 ± 0.040"]
    assert "98.600" in words(key)  # one run has no spread


@pytest.mark.slow
def test_error_bars_are_standard_deviations(figures: list[Figure]) -> None:
    draw_front(board(Arm("only", 10_000, (99.0, 99.1, 99.2))))
    (bar,) = [it for it in figures[0].axes[0].collections if hasattr(it, "get_segments")]
    ((_, low), (_, high)) = bar.get_segments()[0]
    assert (low, high) == pytest.approx((99.0, 99.2))


@pytest.mark.slow
def test_finalists_have_their_test_score_above_or_below_themselves(figures: list[Figure]) -> None:
    draw_front(board(*USUAL))
    axes = figures[0].axes[0]
    found, tests = dots(axes, "o"), dots(axes, "D")
    assert [x for x, _, _ in tests] == [x for x, _, _ in found[:2]]
    assert [y for _, y, _ in tests] == pytest.approx([99.444, 99.356])
    assert all(same_color(color, ORANGE) for _, _, color in tests)
    assert "test, finalists with other seeds" in meanings(figures[0])
    draw_front(board(USUAL[2], USUAL[3]))
    assert not dots(figures[1].axes[0], "D")
    assert "test, finalists with other seeds" not in meanings(figures[1])


@pytest.mark.slow
def test_the_front_is_a_staircase_through_its_arms(figures: list[Figure]) -> None:
    draw_front(board(*USUAL))
    axes = figures[0].axes[0]
    (stairs,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert list(stairs.get_ydata()) == pytest.approx([98.6, 99.053333, 99.34])


@pytest.mark.slow
def test_the_budget_is_a_line(figures: list[Figure]) -> None:
    draw_front(board(*USUAL, parameters_below=18_500))
    axes = figures[0].axes[0]
    lines = [line for line in axes.lines if same_color(line.get_color(), RED)]
    assert [list(line.get_xdata()) for line in lines] == [[18_500, 18_500]]
    assert "budget: fewer than 18,500 parameters" in meanings(figures[0])


@pytest.mark.slow
def test_rejected_arms_are_counted(figures: list[Figure]) -> None:
    fat = Arm("fat", 99_000, (), rejected="too many", state=TrialStatus.REJECTED)
    draw_front(board(*USUAL, fat))
    assert "1 over the budget are not drawn" in meanings(figures[0])


@pytest.mark.slow
def test_an_arm_that_did_not_learn_does_not_press_the_others_together(
    figures: list[Figure],
) -> None:
    draw_front(board(*USUAL, Arm("lost", 12_000, (9.8, 9.8, 9.8), tied=False)))
    axes, key = figures[0].axes
    low, high = axes.get_ylim()
    assert 98 < low < 98.6
    assert 99.5 < high < 100
    assert "lost" in words(key)
    assert [y for _, y, _ in dots(axes, "v")] == [low]  # at the edge, with its rank
    assert "6" in words(axes)


@pytest.mark.slow
def test_many_arms_are_dots(figures: list[Figure]) -> None:
    arms = [Arm(f"arm-{n}", 5_000 + n, (95 + n / 100,)) for n in range(300)]
    draw_front(board(*arms))
    axes = figures[0].axes[0]
    assert len(dots(axes, "o")) == NAMED
    (further,) = [line for line in axes.lines if line.get_marker() == "."]
    assert len(further.get_xdata()) == 300 - NAMED
    assert f"{300 - NAMED} further arms" in meanings(figures[0])


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, NAMED])
def test_arms_of_one_size_are_at_one_place_and_their_numbers_are_not(
    count: int, figures: list[Figure]
) -> None:
    draw_front(board(*(Arm(f"a{n}", 20_000 - 1, (99.0,)) for n in range(count))))
    axes = figures[0].axes[0]
    assert [(x, y) for x, y, _ in dots(axes, "o")] == [(19_999, 99.0)] * count
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == count
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.slow
def test_everything_that_is_drawn_is_in_the_legend(figures: list[Figure]) -> None:
    always = ["not significantly different from the first", "budget: fewer than 20,000 parameters"]
    draw_front(board(Arm("alone", 9_000, (98.6,))))
    assert meanings(figures[0]) == always
    lost = Arm("lost", 12_000, (9.8, 9.8, 9.8), tied=False)
    draw_front(board(*USUAL, lost))
    assert meanings(figures[1]) == [
        always[0],
        "significantly different from it",
        "lower than the picture",
        "test, finalists with other seeds",
        "standard deviation over seeds",
        "Pareto front",
        always[1],
    ]


def test_without_a_ranked_arm_there_is_no_picture() -> None:
    with pytest.raises(ValueError, match="an arm that is ranked"):
        draw_front(board(Arm("waiting", 10_000, (), state=TrialStatus.WAITING)))


@pytest.mark.slow
def test_equal_leaderboards_are_equal_pictures_and_pyplot_stays_out() -> None:
    assert draw_front(board(*USUAL)) == draw_front(board(*USUAL))
    assert "matplotlib.pyplot" not in sys.modules
