"""The line that an error is about: quoted, cut around the place, with the caret under it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mnist_arch.errors import Origin
from mnist_arch_cli.quoting import quoted


def shown(line: str, column: int, *, width: int = 80) -> tuple[str, ...]:
    origin = Origin("net.yaml:7", line=7, column=column, quoted=line)
    return tuple(quoted(origin, width=width))


def under_caret(lines: tuple[str, ...]) -> str:
    """The character above the caret."""
    *_, text, caret = lines
    place = cell_len(caret) - 1
    at = 0
    for char in text:
        if at == place and cell_len(char):
            return char
        at += cell_len(char)
    return ""


def test_a_name_is_one_line() -> None:
    assert list(quoted("--epochs", width=80)) == ["  --> --epochs"]
    assert list(quoted("net.yaml:7", width=80)) == ["  --> net.yaml:7"]


def test_a_line_is_quoted_with_a_caret() -> None:
    assert shown("recipe: {epoch: 5}", 10) == (
        "  --> net.yaml:7",
        "   |  recipe: {epoch: 5}",
        "   |           ^",
    )


def test_an_argument_is_its_own_quotation() -> None:
    text = "--set recipe.epochs=many"
    origin = Origin(text, column=21, quoted=text)
    assert list(quoted(origin, width=80)) == [f"  --> {text}", "                          ^"]
    assert under_caret(tuple(quoted(origin, width=80))) == "m"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("a: 日本語 x", "x"),
        ("\tepochs: @5", "@"),
        ("a:\t{b:\t@}", "@"),
        ("name: e\u0301e\u0301 @", "@"),  # combining marks take no column
        ("a: \x1b[31m @", "@"),
        ("a: \0 @", "@"),
        ("a: 😀😀 @", "@"),
    ],
)
def test_the_caret_stands_under_its_place(line: str, word: str) -> None:
    lines = shown(line, line.index(word) + 1)
    assert under_caret(lines) == word
    assert all(text.isprintable() for text in lines)


def test_a_long_line_is_cut_around_the_place() -> None:
    line = "blocks: [" + "8, " * 200 + "@, " + "16, " * 200 + "]"
    lines = shown(line, line.index("@") + 1, width=60)
    assert under_caret(lines) == "@"
    assert lines[1].startswith("   |  …")
    assert lines[1].endswith("…")
    assert max(map(cell_len, lines)) <= 60


def test_a_long_argument_is_quoted_once_more_where_it_would_be_broken() -> None:
    text = "--set recipe={" + "a: 1, " * 20 + "epochs: @}"
    origin = Origin(text, column=text.index("@") + 1, quoted=text)
    whole, cut, caret = quoted(origin, width=60)
    assert whole == f"  --> {text}"
    assert under_caret((cut, caret)) == "@"
    assert cell_len(cut) <= 60


@given(
    line=st.text(st.sampled_from("ab :{}[]\t日😀é\u0301\x1b"), min_size=1, max_size=200),
    place=st.integers(0, 199),
    width=st.integers(40, 200),
)
def test_whatever_is_quoted_fits_and_is_marked(line: str, place: int, width: int) -> None:
    line = f"x{line}"
    place = min(place, len(line))
    lines = shown(line, place + 1, width=width)
    assert max(map(cell_len, lines)) <= width
    char = line[place : place + 1]
    if char in ("a", "b", "{", "日"):
        assert under_caret(lines) == char
