"""The page of records says what the evidence that ships says, and so does the README."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mnist_arch.zoo.index import zoo

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))

from records import our_row, published, shipped  # noqa: E402  # a folder of scripts

README = (ROOT / "README.md").read_text("utf-8")
PAGE = (ROOT / "docs" / "records.md").read_text("utf-8")
RECORDS = ROOT / "benchmarks" / "records"
OURS = shipped()


@pytest.mark.parametrize("name", OURS)
def test_the_page_has_the_row_of_each_entry(name: str) -> None:
    assert f"| {' | '.join(our_row(name, OURS[name]))} |" in PAGE


@pytest.mark.parametrize("name", OURS)
def test_the_readme_has_the_mean_of_each_entry(name: str) -> None:
    evidence = OURS[name]
    score = evidence.accuracies
    mean = f"{score.mean_percent:.3f} ± {score.spread_percent:.3f} %"
    rows = [line for line in README.splitlines() if line.startswith(f"| `{name}`")]
    assert len(rows) == 1
    assert f"| {evidence.parameters:,} | {evidence.epochs} | " in rows[0]
    assert mean in rows[0]


def test_every_network_with_weights_has_evidence() -> None:
    assert {it.name for it in zoo().values() if it.weights_path.exists()} == set(OURS)


def test_the_page_has_every_published_point_and_its_source() -> None:
    for it in published(RECORDS / "public.csv"):
        assert f"| {it.parameters:,} | {it.epochs} |" in PAGE
        assert it.source in PAGE
