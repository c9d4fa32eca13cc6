"""How many examples Hypothesis tries: all of them in the gate, a tenth while one works."""

from __future__ import annotations

import hypothesis

GATE, QUICK = "gate", "quick"
"""The two profiles; conftest.py loads one of them."""

LEAST = 10


def is_gate() -> bool:
    """Whether this is a run of the gate, which asks for `--gate`."""
    return hypothesis.settings.get_current_profile_name() == GATE


def examples(in_the_gate: int) -> int:
    """The number of examples under the profile that is loaded."""
    return in_the_gate if is_gate() else min(in_the_gate, max(LEAST, in_the_gate // 10))
