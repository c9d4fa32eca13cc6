"""Figures of the documentation are those of the result files, its pictures those of the code."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "benchmarks"), str(ROOT / "docs" / "pictures")]

import figures  # noqa: E402  # a folder of scripts
import make  # noqa: E402  # the same

AGAIN = "`python benchmarks/figures.py` writes it again"
WITH_FIGURES = [it for it in figures.pages() if figures.PLACE.search(it.read_text("utf-8"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_FIGURES, ids=lambda it: it.name)
def test_figures_are_current(page: Path) -> None:
    text = page.read_text("utf-8")
    assert figures.written(text) == text, AGAIN


@pytest.mark.parametrize("page", WITH_FIGURES, ids=lambda it: it.name)
def test_places_are_closed_and_no_text_is_lost_to_html(page: Path) -> None:
    """A line that begins with a comment is HTML for most readers of Markdown."""
    text = page.read_text("utf-8")
    opened = len(re.findall(r"<!--[a-z0-9.-]+-->", text))
    assert opened == text.count("<!--/-->") == len(figures.PLACE.findall(text))
    assert re.findall(r"^<!--(?:[a-z0-9.-]+|/)-->(?=.)", text, re.MULTILINE) == []


def test_every_figure_is_shown() -> None:
    shown = {name for page in WITH_FIGURES for name, _ in figures.PLACE.findall(page.read_text())}
    assert shown == set(figures.FIGURES)


def test_a_figure_that_is_not_current_is_written_again() -> None:
    page = "It answers in <!--start-->1 %<!--/--> of the time.\n\n<!--scale.rows-->\n<!--/-->\n"
    new = figures.written(page)
    assert re.match(r"It answers in <!--start-->\d\d %<!--/--> of", new)
    assert "<!--scale.rows-->\n\n| trials |" in new
    assert new.endswith(" MB |\n\n<!--/-->\n")
    assert figures.written(new) == new


def test_the_picture_has_every_network_that_ships() -> None:
    picture = figures.PICTURE.read_text("utf-8")
    texts = {*re.findall(r"<!-- (.+?) -->", picture)}  # what matplotlib draws as outlines
    assert {*figures.shipped()} <= texts


def shown(picture: str) -> str:
    """The text of a terminal's picture. Rich decides where its parts end."""
    return "".join(re.findall(r"<text[^>]*>([^<]*)</text>", picture))


@pytest.mark.slow
def test_the_pictures_of_the_terminal_are_not_older_than_the_code() -> None:
    for name, picture in make.terminal().items():
        kept = (make.HERE / f"{name}.svg").read_text("utf-8")
        assert shown(kept) == shown(picture) != "", "`python docs/pictures/make.py` draws it again"
