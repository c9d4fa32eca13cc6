"""The recipes of the handed networks in the language, and the table of the documentation."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from recipes_of_others import RECIPES

from mnist_arch.spec.loading import load

ROOT = Path(__file__).parents[2]
CASES = ROOT.parent / "shared/cases/recipes.md"
PAGE = ROOT / "docs/porting.md"
BEGIN, END = "<!-- recipes of others -->\n", "<!-- end of recipes -->"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_of_others_can_be_said(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPES[name].text, "utf-8")
    recipe = load(str(path)).experiment.recipe
    assert (recipe.ema, recipe.label_smoothing) == (None, 0)
    if not CASES.exists():
        return
    row = next(it for it in CASES.read_text().splitlines() if it.startswith(f"| {name} |"))
    if name in ("M03", "M04", "M08"):  # as the one before
        return
    epochs = re.findall(r"(\d[\d,]*) epochs", row)[-1]
    assert recipe.epochs == int(epochs.replace(",", ""))
    batch, kind = re.search(r"batch (\d+)", row), re.search(r"(SGD|AdamW|Adam)[ ,]", row)
    assert batch is not None
    assert recipe.batch_size == int(batch[1])
    assert kind is not None
    assert recipe.optimizer.kind == kind[1].lower()
    rate = re.search(r"(?:peak|SGD|AdamW?) (0\.\d+)", row)
    assert rate is not None
    assert recipe.schedule.peak == float(rate[1])


@pytest.mark.skipif(not CASES.exists(), reason="the handed recipes are not there")
def test_all_handed_recipes_are_there() -> None:
    table = CASES.read_text().partition("| net | recipe |")[2].partition("\n# ")[0]
    assert set(re.findall(r"^\| ([A-Z]\d*) \|", table, re.MULTILINE)) == set(RECIPES)


def test_the_table_of_the_documentation_is_that_of_the_recipes() -> None:
    lines = ["| recipe | | left out on purpose | lacking |", "|---|---|---|---|"]
    for name, it in RECIPES.items():
        cells = (name, it.verdict, "; ".join(it.refused), "; ".join(it.lacking))
        lines.append(f"| {' | '.join(cells)} |")
    verdicts = [it.verdict for it in RECIPES.values()]
    words = ("exact", "exact but for refused parts", "partial")
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in words)
    generated = "\n".join([f"Of {len(RECIPES)} public recipes: {counts}.", "", *lines, ""])
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    written, end, after = rest.partition(END)
    assert end
    if "UPDATE_DOCS" in os.environ:
        PAGE.write_text(f"{before}{BEGIN}{generated}{END}{after}", "utf-8")
        return
    assert written == generated, "UPDATE_DOCS=1 pytest -n 0 tests/convert writes it again"
