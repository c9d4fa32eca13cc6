"""Test accuracies that a notebook printed, by training."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from mnist_arch.convert.source import Source
from mnist_arch.errors import Origin

Split = Literal["train", "validation", "test", ""]

_OUTPUT: Final = re.compile(r"^(.* cell \d+) output:\d+$", re.S)
_MOST: Final = 2_000
"""Characters of a line that are looked at."""
_COUNT: Final = re.compile(r"(?<![\d.,/])(\d{1,2},\d{3}|\d{1,5})\s*/\s*10,?000\b(?!\s*\[)")
_SPLIT: Final = re.compile(
    r"(?i)(?<![a-z])(?:(train)|(val(?:id(?:ation)?)?|dev)|(test|eval))(?:ing|ed|uation)?(?![a-z])"
)
_NAMED: Final = re.compile(
    r"(?i)acc(?:uracy|uracies)?(?![a-z])\w{0,20}(?:@1)?(?:/\w{1,30})?[\s:=│┃|\"'\])>~-]{0,60}"
    r"(?:is |of )?(?:tensor\()?(\d{1,3}(?:\.\d{1,20})?)(?![\d/])\s?(%)?"
)
_ON_IMAGES: Final = re.compile(
    r"(?i)acc(?:uracy)?\b[^.:=]{0,50}\btest\b[^.:=]{0,30}[:=]\s*(\d{1,3}(?:\.\d{1,20})?)\s?(%)?"
)
_SPREAD: Final = re.compile(r"(?i)_(?:std|var|raw)|\bstd\b")
_BEST: Final = re.compile(r"(?i)(?<![a-z])(?:best|max|maximum|highest|peak)(?![a-z])")
_PAIR: Final = re.compile(r"^\s*\[\s*\d+(?:\.\d+)?(?:e-?\d+)?,\s*(0\.\d+|1\.0)\s*\]\s*$")
_COLUMN: Final = re.compile(
    r"(?i)^(?:(val(?:id|idation)?)|test|eval)[_-]?acc(?:uracy)?(?:[_(%].*)?$"
)
_CURVE: Final = 3
"""Accuracies of one cell that are of the epochs of a training."""


@dataclass(frozen=True)
class Printed:
    """The test accuracies of one training, in percent."""

    best: float
    final: float
    cells: tuple[str, ...]
    """Where they were printed, in order."""
    count: int
    """How many were printed: of each epoch one, or more."""


@dataclass(frozen=True)
class _Value:
    percent: float
    split: Split
    cell: str
    is_best: bool


def read_accuracies(
    source: Source,
    *,
    fitting: frozenset[str],
    judging: frozenset[str],
    validates_on: Literal["test", "train", ""],
) -> tuple[Printed, ...]:
    """What the outputs say, training by training.

    `fitting` has the cells that call `fit`. `judging` has those whose code judges by test and
    trains nothing; there an accuracy needs no other word. `validates_on` says of which images a
    validation is, where the code shows it.
    """
    values = [it for lines in source.printed for it in _values(lines, judging)]
    counts = {"test"} if validates_on == "train" else {"test", "validation"}
    if not validates_on and _differ(values):
        counts = {"test"}
    cells: dict[str, list[_Value]] = {}
    for it in values:
        if it.split in counts and it.percent <= 100:
            cells.setdefault(it.cell, []).append(it)
    fits = sorted(map(_number, fitting))
    runs: list[list[_Value]] = []
    last, is_curve = -1, False
    for cell, own in cells.items():
        at = _number(cell)
        is_long = sum(not it.is_best for it in own) >= _CURVE
        if not runs or (is_long and is_curve) or any(last < it <= at for it in fits):
            runs.append([])
            is_curve = False
        is_curve = is_curve or is_long
        runs[-1] += own
        last = at
    return tuple(map(_printed, runs))


def _printed(values: list[_Value]) -> Printed:
    best = max(it.percent for it in values)
    finals = [it.percent for it in values if not it.is_best]
    cells = tuple(dict.fromkeys(it.cell for it in values))
    return Printed(best, finals[-1] if finals else best, cells, len(values))


def _number(cell: str) -> int:
    number = cell.rpartition(" ")[2]
    return int(number) if number.isdecimal() else 0  # a script has no cells


def _differ(values: list[_Value]) -> bool:
    """Whether one line after another has a validation, and others a test: two splits."""
    cells = {split: {it.cell for it in values if it.split == split} for split in _BOTH}
    return bool(cells["validation"]) and bool(cells["test"])


_BOTH: Final[tuple[Split, ...]] = ("validation", "test")


def _values(lines: tuple[Origin, ...], judging: frozenset[str]) -> Iterator[_Value]:
    """Accuracies of one output, line by line."""
    place = _OUTPUT.match(str(lines[0])) if lines else None
    if place is None:
        return
    cell = place[1]
    column: tuple[int, int, Split] | None = None
    for line in lines:
        text = line.quoted[:_MOST]
        if text.lstrip()[:1] in ("'", '"'):
            continue  # a text that the cell is, not one that it printed
        words = re.split(r"[\s│┃|]+", text.strip("│┃| \t"))
        if column is not None and (value := _in_column(words, column)) is not None:
            yield _Value(value, column[2], cell, is_best=False)
            continue
        column = _head(words) or (column if not text.strip("-=─━┼╇ |") else None)
        yield from _in_line(text, cell, is_judging=cell in judging)


def _in_line(text: str, cell: str, *, is_judging: bool) -> Iterator[_Value]:
    given: Split = "test" if is_judging else ""
    if count := _COUNT.search(text):
        split: Split = _split_before(text, count.start()) or "test"
        is_best = bool(_BEST.search(text, 0, count.start()))
        yield _Value(int(count[1].replace(",", "")) / 100, split, cell, is_best)
        return
    if on_images := _ON_IMAGES.search(text):
        yield _Value(_percent(on_images), "test", cell, bool(_BEST.search(text)))
        return
    if is_judging and (pair := _PAIR.match(text)):
        yield _Value(round(100 * float(pair[1]), 4), "test", cell, is_best=False)
        return
    end = 0
    for it in _NAMED.finditer(text):
        split = _split_before(text, it.end()) or given
        if split and not _SPREAD.search(it[0]):
            yield _Value(_percent(it), split, cell, bool(_BEST.search(text, end, it.start())))
        end = it.end()


def _percent(match: re.Match[str]) -> float:
    value = float(match[1])
    return round(value if match[2] or value > 1 else 100 * value, 4)


def _split_before(text: str, end: int) -> Split:
    """The split that is named last before a place; a name such as `val_acc` is one."""
    found: Split = ""
    for it in _SPLIT.finditer(text, 0, end):
        found = "train" if it[1] else "validation" if it[2] else "test"
    return found


def _head(words: list[str]) -> tuple[int, int, Split] | None:
    """The column of a table that has test accuracies: its place from the right, of how many."""
    if len(words) < 2 or any(re.search(r"\d\.\d", it) for it in words):
        return None
    for index, word in enumerate(words):
        if it := _COLUMN.match(word):
            return len(words) - index, len(words), "validation" if it[1] else "test"
    return None


def _in_column(words: list[str], column: tuple[int, int, Split]) -> float | None:
    place, width, _ = column
    if len(words) not in (width, width + 1):  # pandas counts its rows
        return None
    it = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)(%)?", words[-place])
    return None if it is None else _percent(it)
