"""The page about runs, sweeps and networks: one file, with whatever users wrote escaped."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from chromium import DESK, PHONE, browser, needs_chromium
from tiny_runs import make_run, tiny

from mnist_arch.errors import RunError
from mnist_arch.report.content import content_of, picture_of
from mnist_arch.report.page import page
from mnist_arch.runs.folder import Run
from mnist_arch.spec.experiment import Budget, Verdicts
from mnist_arch.sweeps.ledger import TrialStatus
from mnist_arch.sweeps.standings import ArmScore, Leaderboard, Outcome, Standing

EVIL = "</title><script>alert(1)</script>&\"'"


def with_curve(run: Run) -> Run:
    for epoch in (1, 2):
        record = {"epoch": epoch, "train_loss": 1 / epoch, "correct": epoch, "images": 2}
        run.append_metrics(record)
    return run


def text_of(*words: str, runs: Path) -> str:
    return page(content_of(words, runs=runs, data_dir=runs / "no-data-here"))


def board(arms: int, name: str = "tiny") -> Leaderboard:
    """A leaderboard of so many arms, the last of which failed and was rejected."""
    verdicts = Verdicts(parameters="kept", epochs="kept", accuracy="none")

    def standing(rank: int) -> Standing:
        score = ArmScore(
            split="validation",
            images=100,
            seeds=[0],
            mean_percent=99 - rank / 100,
            spread_percent=None,
            bound_percent=None,
            correct=[99],
        )
        is_last = rank == arms
        state = TrialStatus.FAILED if is_last else TrialStatus.DONE
        return Standing(
            rank=None if is_last else rank,
            name=f"arm-{rank}",
            also=[],
            differs={"defaults.dropout": EVIL},
            parameters=100 + rank,
            macs=1000,
            epochs=2,
            trials=[Outcome(seed=0, state=state, reason=EVIL, folder=f"arm-{rank}-00000000-s0")],
            rejected=EVIL if is_last else "",
            holdout=None if is_last else score,
            against_first=None,
            tied=False,
            front=rank == 1,
            test=None,
            seconds=1.0,
            verdicts=verdicts,
        )

    return Leaderboard(
        name=name,
        dataset="mnist-5k",
        holdout_images=100,
        budget=Budget(),
        standings=[standing(rank) for rank in range(1, arms + 1)],
        effects=[],
        states={TrialStatus.DONE: arms - 1, TrialStatus.FAILED: 1},
        search=None,
    )


def write_sweep(runs: Path, arms: int) -> Path:
    folder = runs / "sweep"
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text("{}")
    (folder / "leaderboard.json").write_text(board(arms).json_text())
    lines = [
        json.dumps({"format": 2, "epoch": epoch, "correct": 50 + epoch, "images": 100})
        for epoch in range(1, 9)
    ]
    for rank in range(1, arms):
        trial = folder / f"arm-{rank}-00000000-s0"
        trial.mkdir()
        (trial / "metrics.jsonl").write_text("\n".join(lines))
    return folder


class Tags(HTMLParser):
    """Which elements there are, and what they refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.sources += [it or "" for name, it in attrs if name in ("src", "href", "data")]


def test_nothing_leads_out_of_the_page_and_nothing_is_taken_for_markup(tmp_path: Path) -> None:
    run = with_curve(make_run(tmp_path, tiny("a")))
    content = json.loads(run.manifest_path.read_text())
    content["command"] = ["mnist-arch", EVIL]
    run.manifest_path.write_text(json.dumps(content))
    write_sweep(tmp_path, 3)
    text = text_of("a", "sweep", "zoo/s6", runs=tmp_path)
    tags = Tags(text)
    assert tags.found.count("script") == 2
    assert "alert(1)</script>" not in text
    assert all(source.startswith("data:") for source in tags.sources)
    assert not re.search(r"@import|url\(", text)
    assert "default-src 'none'" in text


def test_a_run_is_shown_with_what_repeats_it(tmp_path: Path) -> None:
    for seed in (0, 1):
        with_curve(make_run(tmp_path, tiny("a"), seed=seed))
    text = text_of("a", runs=tmp_path)
    for said in ("2 seeds", "band", "mnist-arch train", "0" * 64, "is not shown", "98 of fewer"):
        assert said in text, said
    assert len(text) < 400_000
    assert "None" not in text  # of rules that the budget does not have


def test_axes_have_round_numbers(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny("a"))
    for epoch in range(1, 20):
        run.append_metrics(
            {"epoch": epoch, "train_loss": 0.1, "correct": 90 + epoch, "images": 200}
        )
    text = text_of("a", runs=tmp_path)
    assert "(test, 1 seed)" in text
    chart = text[text.index("accuracy by epoch") :]
    numbers = re.findall(r'class="soft">([\d.,]+)<', chart[: chart.index("</svg>")])
    assert numbers == [*map(str, range(50, 101, 10)), *map(str, range(2, 19, 2))]


def test_a_single_epoch_is_a_point_and_there_is_none_and_a_half(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny("a"))
    for epochs, axis in ((1, ["1"]), (2, ["1", "2"])):
        run.append_metrics({"epoch": epochs, "train_loss": 0.1, "correct": 90, "images": 200})
        text = text_of("a", runs=tmp_path)
        chart = text[text.index("loss by epoch") :]
        chart = chart[: chart.index("</svg>")]
        assert ("<circle" in chart, "<polyline" in chart) == (epochs == 1, epochs > 1)
        below = re.findall(r'text-anchor="middle" class="soft">([\d.,]+)<', chart)
        assert below == axis


def test_the_latest_run_is_shown_unless_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run in .* is finished"):
        content_of((), runs=tmp_path)
    with_curve(make_run(tmp_path, tiny("early"), started="2026-01-01"))
    with_curve(make_run(tmp_path, tiny("late"), started="2026-01-02"))
    assert [it.title for it in content_of((), runs=tmp_path).runs] == ["late"]


def test_several_runs_are_compared(tmp_path: Path) -> None:
    with_curve(make_run(tmp_path, tiny("a")))
    with_curve(make_run(tmp_path, tiny("b")))
    assert "Side by side" in text_of("a", "b", runs=tmp_path)
    assert "Side by side" not in text_of("a", runs=tmp_path)


@pytest.mark.slow
def test_a_thousand_trials_are_less_than_five_megabytes(tmp_path: Path) -> None:
    write_sweep(tmp_path, 1000)
    text = text_of("sweep", runs=tmp_path)
    assert text.count("<tr>") >= 1000
    assert len(text.encode()) < 5_000_000


@pytest.mark.slow
def test_curves_and_a_leaderboard_are_drawn_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny("a"))
    record = {"train_loss": 1.0, "loss": 1.0, "correct": 1, "images": 2, "rate": 0.1}
    for epoch in range(1, 20):
        run.append_metrics({"epoch": epoch, **record, "images_per_second": 1.0, "seconds": 1.0})
    write_sweep(tmp_path, 3)
    for word in ("a", "sweep"):
        assert picture_of([word], "svg", runs=tmp_path).startswith(b"<?xml"), word
        assert picture_of([word], "pdf", runs=tmp_path).startswith(b"%PDF"), word
    with pytest.raises(RunError, match="a picture is of one run or one sweep"):
        picture_of(["a", "sweep"], "svg", runs=tmp_path)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run in .* is named 'nothing'"):
        content_of(["nothing"], runs=tmp_path)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "sweep.json").write_text("{}")
    with pytest.raises(RunError, match="has no leaderboard yet"):
        content_of(["new"], runs=tmp_path)


# ------------------------------------------------------------------------------------ in a browser


def searched(text: str) -> str:
    """A leaderboard as if a search had made its arms."""
    content = json.loads(text)
    proposed = {"trials": 30, "rejected": 0, "repeated": 0, "shortfall": "", "is_given_up": False}
    content["search"] = proposed
    for number, it in enumerate(content["standings"]):
        it["differs"] = {
            "recipe.schedule.peak": f"{0.001 * 1.2**number:.4g}",
            "defaults.activation": ("relu", "silu", EVIL)[number % 3],
        }
    return json.dumps(content)


@pytest.mark.browser
@pytest.mark.slow
@needs_chromium
def test_a_report_is_sorted_searched_pointed_at_printed_and_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for seed in (0, 1):
            with_curve(make_run(tmp_path, tiny(name), seed=seed))
    board_path = write_sweep(tmp_path, 30) / "leaderboard.json"
    board_path.write_text(searched(board_path.read_text()))
    path = tmp_path / "report.html"
    path.write_text(text_of("a", "b", "sweep", "zoo/s6", runs=tmp_path))
    with browser(tmp_path) as opened:
        for size in (PHONE, DESK):
            opened.open(path, size, touch=size == PHONE)
            assert opened.run("document.documentElement.scrollWidth <= innerWidth"), size
        for _ in range(2):  # light and dark
            assert opened.violations() == []
            opened.run("document.getElementById('theme').click()")
        opened.run(
            "table = document.querySelector('[data-sortable]'); rows = table.tBodies[0].rows; 0"
        )
        opened.run("heads = table.tHead.rows[0].cells, heads[5].firstElementChild.focus()")
        opened.key("Enter")
        opened.key("Enter")
        assert opened.run("rows[0].cells[1].textContent").startswith("arm-30")
        assert opened.run("heads[5].getAttribute('aria-sort')") == "descending"
        opened.run("document.querySelector('[data-filter]').focus()")
        for letter in "ARM-29":
            opened.key(letter, text=letter)
        assert opened.run("[...rows].filter((row) => !row.hidden).length") == 1
        title = "What was searched: each line is an arm"
        opened.run(
            f"searched = document.querySelector('.picture[aria-label^={json.dumps(title)}]'); 0"
        )
        opened.run("searched.focus()")
        for _ in range(2):
            opened.key("ArrowRight")
        said = opened.run("searched.nextElementSibling.textContent")
        assert said.startswith("arm-2: ")
        assert "defaults.activation=silu" in said
        opened.run("dispatchEvent(new Event('beforeprint'))")
        assert opened.run("[...document.querySelectorAll('details')].every((it) => it.open)")
        opened.call("Emulation.setEmulatedMedia", media="print")
        assert opened.run("getComputedStyle(document.querySelector('.filter')).display") == "none"
        assert opened.run("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert len(opened.call("Page.printToPDF")["data"]) > 10_000
        assert opened.said == []
