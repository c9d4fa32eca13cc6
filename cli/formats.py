"""Numbers with their units, as the tables have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mnist_arch.runs.manifest import TeacherRecord
    from mnist_arch.sweeps.execution.worker_count import WorkerCount

VERDICTS: Final = {"kept": "[green]kept[/]", "missed": "[red]missed[/]", "none": "[yellow]none[/]"}
"""Of a rule, with its colour."""
_BARS: Final = "▁▂▃▄▅▆▇█"


def size_text(count: int) -> str:
    """Bytes in a unit that they fill, with three digits: `96 bytes`, `74.7 kB`, `1.43 MB`.

    A kB is 1,000 bytes, and a MB 1,000 kB.
    """
    if count < 1000:
        return "1 byte" if count == 1 else f"{count} bytes"
    for unit, name in ((10**3, "kB"), (10**6, "MB"), (10**9, "GB")):
        value = count / unit
        if value < 999.5 or name == "GB":
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:,.{digits}f} {name}"
    raise AssertionError("the last unit takes all")


def percent(accuracy_percent: float | None) -> str:
    """An accuracy as text; a dash for an epoch that was not judged."""
    return "–" if accuracy_percent is None else f"{accuracy_percent:.2f} %"


def sparkline(values: list[float]) -> str:
    """Values as bars of eight heights, from the lowest to the highest."""
    if not values:
        return ""
    low, span = min(values), max(values) - min(values)
    return "".join(_BARS[round(7 * (value - low) / span) if span else 7] for value in values)


def threads_text(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def teacher_text(teacher: TeacherRecord) -> str:
    """`s6: 18,666 parameters, trained in 1:05:12`."""
    time = "" if teacher.seconds is None else f", trained in {duration(teacher.seconds)}"
    return f"{teacher.name}: {teacher.parameters:,} parameters{time}"


def workers_text(count: WorkerCount) -> str:
    """How many there are at a time, and why not more."""
    workers = "1 worker" if count.workers == 1 else f"{count.workers} workers"
    return f"{workers} at a time: {count.reason}"
