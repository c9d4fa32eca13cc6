"""The tables of docs/performance.md are made of what the benchmarks wrote.

`UPDATE_DOCS=1 pytest tests/house/test_performance.py` writes them anew.
"""

from __future__ import annotations

import json
import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
COMMAND = "UPDATE_DOCS=1 pytest tests/house/test_performance.py"
MARK = f"<!-- Below this line the page is generated: {COMMAND} -->\n"

MOST_WORDS = 1500
MOST_WORDS_OF_A_SENTENCE = 18


def report(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / name).read_text("utf-8"))
    return found


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---", *["--:"] * (len(headings) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def made_by(name: str) -> str:
    """The command, the machine and the versions of a report."""
    found = report(name)
    versions = found["versions"]
    return (
        f"`{' '.join(found['command'])}`, on {found['machine']}, torch {versions['torch']}: "
        f"[{name}](../benchmarks/results/{name}).\n"
    )


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, least and most; of a single value, that one."""
    parts = (statistics.median(values), min(values), max(values))
    middle, least, most = (f"{it:,.{digits}f}" for it in parts)
    return middle if len(values) == 1 else f"{middle} ({least}–{most})"


def steps() -> str:
    """Least milliseconds of a step, and ratios round by round."""
    rows = []
    for name in STEPS:
        found = report(name)
        shares = {(it["name"], it["kind"]): it for it in found["shares"]}
        for lever in found["levers"]:
            first = lever["values"]["native"]
            for kind, values in lever["values"].items():
                share = shares[lever["name"], kind]
                ratio = [other / one for one, other in zip(first, values, strict=True)]
                rows.append(
                    [
                        f"{lever['name']}: {kind.replace(', c05', ' of c05f2a9')}",
                        f"{min(values):.1f}",
                        "" if kind == "native" else f"{min(values) / min(first):.2f}",
                        "" if kind == "native" else spread(ratio),
                        f"{100 * share['gflops'] / share['product_gflops']:.0f} %",
                    ]
                )
    headings = ["", "least ms", "by native's least", "round by round", "of a product"]
    return "\n".join([*map(made_by, STEPS), table(headings, rows)])


STEPS = ("native.json", "native-separable.json")


def sweeps() -> str:
    found = report("whole_sweep.json")
    rows = [
        [name, spread(it["other"], 0), spread(it["here"], 0), spread(found["ratios"][name])]
        for name, it in found["seconds"].items()
    ]
    headings = ["sweep", "c05f2a9, seconds", "native, seconds", "times as fast"]
    return f"{made_by('whole_sweep.json')}\n{table(headings, rows)}"


def at_once() -> str:
    found = report("busy.json")
    together, ratios = found["together_seconds"], found["together_ratios"]
    rows = [
        [name.replace("the other checkout", "c05f2a9"), spread(it, 1), spread(ratios[name])]
        for name, it in together.items()
    ]
    headings = ["two trainings at once", "seconds", "by one thread each"]
    return f"{made_by('busy.json')}\n{table(headings, rows)}"


LEVERS = {"A": "levers.json", "B": "levers-avx2.json", "C": "levers-amx.json"}


def levers() -> str:
    """The ratio of each variant to the first of its lever, by machine."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for machine, name in LEVERS.items():
        for lever in report(name)["levers"]:
            first, *_ = lever["values"]
            for variant, it in lever["ratio_spreads"].items():
                key = (lever["name"], first, variant)
                text = f"{it['median']:.2f} ({it['min']:.2f}–{it['max']:.2f})"
                found.setdefault(key, {})[machine] = text
    rows = [
        [f"{name}: {first} → {variant}", *(it.get(machine, "") for machine in LEVERS)]
        for (name, first, variant), it in found.items()
    ]
    about = (
        "`python benchmarks/levers.py`, s6 of an earlier format, batch 64, two threads: how many "
        "times as fast the second is. A is an Intel Xeon with AVX-512, B an AMD EPYC with AVX2, "
        "C an Intel Xeon with AMX.\n"
    )
    return f"{about}\n{table(['', *LEVERS], rows)}"


SECTIONS = {
    "A step": steps,
    "Sweeps": sweeps,
    "Two at once": at_once,
    "Levers of torch's own steps, by machine": levers,
}


def generated() -> str:
    return "\n".join(f"### {title}\n\n{make()}" for title, make in SECTIONS.items())


def test_tables_are_those_measured() -> None:
    text = PAGE.read_text("utf-8")
    before, mark, found = text.partition(MARK)
    assert mark, f"performance.md has no line that says {MARK}"
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(f"{before}{mark}\n{generated()}", "utf-8")
        return
    assert found == f"\n{generated()}", f"{COMMAND} writes it again"


def test_the_page_is_short_and_plain() -> None:
    """Without its tables and code."""
    prose, _, _ = PAGE.read_text("utf-8").partition(MARK)
    prose = re.sub(r"```.*?```", "", prose, flags=re.DOTALL)
    prose = "\n".join(line for line in prose.splitlines() if not line.startswith(("|", "#")))
    assert len(prose.split()) < MOST_WORDS
    ends = re.split(r"[.:;?](?:\*\*)?\s", prose)
    words = [len(it.split()) for it in ends if it.strip()]
    assert statistics.mean(words) < MOST_WORDS_OF_A_SENTENCE
