"""Does the claim of a notebook hold? By its code and what it printed; nothing is run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from mnist_arch.claims.habits import Finding, read_habits
from mnist_arch.convert.code import read_code
from mnist_arch.convert.questions import Choices
from mnist_arch.convert.source import Source, read_source
from mnist_arch.convert.tables import find_tables
from mnist_arch.errors import MnistArchError, Origin
from mnist_arch.files import shown
from mnist_arch.spec.experiment import Budget

Verdict = Literal[
    "holds on one seed",
    "holds on several seeds",
    "rests on the best epoch",
    "test was used to choose",
    "missed",
    "exceeds",
    "cannot be read",
]
_COUNT: Final = re.compile(r"(\d{1,5})\s*/\s*10,?000\b")
_PERCENT: Final = re.compile(
    r"(?i)\b(?:test|val|validation)[\w ]*acc\w*\s*[:=]?\s*(\d{1,3}(?:\.\d+)?)\s*(%)?"
)


@dataclass(frozen=True)
class Audit:
    """One notebook."""

    name: str
    verdict: Verdict
    parameters: int | None = None
    """Counted from the code, else as printed."""
    printed_parameters: int | None = None
    epochs: int | None = None
    best_percent: float | None = None
    final_percent: float | None = None
    seeds: int = 1
    """That the code loops over."""
    findings: tuple[Finding, ...] = ()
    reason: str = ""

    @property
    def fails(self) -> bool:
        """Whether its claim does not stand as it is."""
        return not self.verdict.startswith("holds")


def audit(path: str, budget: Budget) -> Audit:
    """Reads a notebook or a script, and holds it against a budget. Raises StorageError."""
    name = shown(Path(path))
    try:
        source = read_source(path)
    except MnistArchError as error:
        if error.kind.exit_code != 2 or not Path(path).exists():
            raise
        return Audit(name, "cannot be read", reason=str(error))
    try:
        habits = read_habits(source)
        counted = _counted(source)
    except (RecursionError, MemoryError):
        return Audit(name, "cannot be read", reason="its code is nested too deep")
    findings, training = habits.findings, habits.epochs
    epochs = None if training is None else training[0]
    printed, place = _printed_parameters(source)
    accuracies = _accuracies(source)
    parameters = printed if counted is None else counted
    if counted is not None and printed is not None and counted != printed:
        reason = f"the table printed has {printed:,} parameters, the code {counted:,}"
        findings.append(Finding("other-table", place, reason))
    if parameters is not None and parameters >= budget.parameters_below:
        limit = f"fewer than {budget.parameters_below:,} are asked"
        where = place or _network_line(source)
        findings.append(Finding("parameters", where, f"{parameters:,} parameters; {limit}"))
    if training is not None and training[0] >= budget.epochs_below:
        reason = f"{epochs:,} epochs; fewer than {budget.epochs_below:,} are asked"
        findings.append(Finding("epochs", training[1], reason))
    best = max(accuracies, default=None)
    final = accuracies[-1] if accuracies else None
    verdict = _verdict(findings, best, final, budget)
    if verdict == "holds on one seed" and habits.seeds > 1:
        verdict = "holds on several seeds"
    if not habits.is_code:
        verdict = "cannot be read"
    return Audit(
        name,
        verdict,
        parameters,
        printed,
        epochs,
        best,
        final,
        habits.seeds,
        tuple(findings),
        reason="" if accuracies else "it printed no test accuracy",
    )


def _verdict(
    findings: list[Finding], best: float | None, final: float | None, budget: Budget
) -> Verdict:
    habits = {it.habit for it in findings}
    if habits & {"parameters", "epochs"}:
        return "exceeds"
    if final is None or best is None:
        return "cannot be read"
    if best < budget.accuracy_percent:
        return "missed"
    if "test-chooses" in habits:
        return "test was used to choose"
    if final < budget.accuracy_percent or "best" in habits:
        return "rests on the best epoch"
    return "holds on one seed"


def _counted(source: Source) -> int | None:
    """Parameters of the network in the code, where one network is meant and can be read."""
    try:
        read = read_code(source, Choices({}))
    except MnistArchError:
        return None
    return None if read is None else read.graph.parameters


def _network_line(source: Source) -> Origin:
    """The first line of the code that begins a network."""
    for origin, text in source.code:
        for number, line in enumerate(text.split("\n")):
            if re.search(r"\bModule\)|\bSequential\(", line):
                start = str(origin).rpartition(":")[0]
                return Origin(f"{start}:{origin.line + number}", line=origin.line + number)
    return Origin(source.name)


def _printed_parameters(source: Source) -> tuple[int | None, Origin]:
    """The total of the last table that was printed."""
    for lines in reversed(source.printed):
        for table in find_tables(lines):
            total = table.total or sum(row.parameters or 0 for row in table.rows)
            if total:
                return total, table.origin
    return None, Origin("")


def _accuracies(source: Source) -> list[float]:
    """Test accuracies in the order in which they were printed, in percent."""
    found: list[float] = []
    for lines in source.printed:
        for line in lines:
            if " output" not in str(line):
                continue
            if count := _COUNT.search(line.quoted):
                found.append(int(count[1]) / 100)
            elif percent := _PERCENT.search(line.quoted):
                value = float(percent[1])
                found.append(value if percent[2] or value > 1 else 100 * value)
    return [it for it in found if it <= 100]
