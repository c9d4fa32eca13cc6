"""Sentences are short and words common: `python tests/house/test_prose.py` prints the lengths."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("CONTRIBUTING.md", "findings/README.md")),
]
MADE_OF_DOCSTRINGS = "<!-- Below this line"
MOST_WORDS = 18
"""Of the mean sentence of a page."""

PUZZLES = {
    r"\b(?:go|goes|going|went) on\b": "resume, continue",
    r"\banew\b": "again, from scratch",
    r"\b(?:tell|tells|told) apart\b": "significantly different, distinguish",
    r"\b(?:comes?|came) to(?= (?:the|a|an|\d)\b)": "reaches",
    r"\b(?:can|cannot|could) be had\b": "available",
    r"\b(?:held|stands?|seen) beside\b": "compared with, next to",
}
"""Words that make readers puzzle, and common ones for them."""


def prose(page: Path) -> str:
    """Its text without code, tables, headings, pictures, comments, and what docstrings make."""
    text = page.read_text("utf-8").partition(MADE_OF_DOCSTRINGS)[0]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^ *(?:\||#|!\[).*$", "", text, flags=re.MULTILINE)


def sentences(text: str) -> Iterator[list[str]]:
    """Words of each; an empty line and a new item of a list end one, too."""
    for part in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)", text):
        for sentence in re.split(r"(?<=[.!?])[*)\"`]*\s+", part.strip()):
            if words := sentence.split():
                yield words


def mean_words(page: Path) -> float:
    return statistics.mean(map(len, sentences(prose(page))))


@pytest.mark.parametrize("page", PAGES, ids=lambda it: it.name)
def test_sentences_are_short(page: Path) -> None:
    assert mean_words(page) < MOST_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda it: it.name)
def test_words_are_common(page: Path) -> None:
    text = " ".join(page.read_text("utf-8").split())
    found = {word: better for word, better in PUZZLES.items() if re.search(word, text)}
    assert found == {}


def test_a_sentence_ends_where_a_reader_ends_it() -> None:
    text = "One of 1.5 words. **Two!** (Is it three?) Yes: four\n\n- an item\n- another"
    assert [len(it) for it in sentences(text)] == [4, 1, 3, 2, 3, 2]


if __name__ == "__main__":
    for it in PAGES:
        print(f"{mean_words(it):5.1f}  {it.relative_to(ROOT)}")
