"""From YAML to a spec: an experiment, validated, and where each of its values came from."""

from __future__ import annotations

from dataclasses import replace

from mnist_arch.errors import ShapeError
from mnist_arch.plan import Plan, plan
from mnist_arch.spec.loading import (
    Loaded,
)


def plan_of(loaded: Loaded) -> Plan:
    """Counts the network. Raises ShapeError with the line that its place was written at."""
    try:
        return plan(loaded.experiment)
    except ShapeError as error:
        where = (replace(problem, origin=loaded.near(problem.path)) for problem in error.problems)
        raise ShapeError(tuple(where)) from None
