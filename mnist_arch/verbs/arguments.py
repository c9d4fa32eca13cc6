"""Arguments of a verb in Python: what is wrong with them, and what of a run they set."""

from __future__ import annotations

import difflib
import functools
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from mnist_arch.errors import MnistArchError, Problem, SpecError
from mnist_arch.files import expanded
from mnist_arch.spec.overrides import Override, override
from mnist_arch.spec.strict_yaml import parse
from mnist_arch.verbs.display import Caller

P = ParamSpec("P")
T = TypeVar("T")

_IN_SPEC: Final = {"epochs": "recipe.epochs", "dataset": "dataset", "holdout": "holdout"}
"""Arguments that stand for a value of the spec, and where that is."""


def ways_out(verb: Callable[P, T]) -> Callable[P, T]:
    """The verb, whose errors have their way out as a note, which a traceback shows."""

    @functools.wraps(verb)
    def told(*args: P.args, **options: P.kwargs) -> T:
        try:
            return verb(*args, **options)
        except MnistArchError as error:
            for note in _notes(error):
                error.add_note(note)
            raise

    return told


def _notes(error: MnistArchError) -> Iterator[str]:
    problems = error.problems if isinstance(error, SpecError) else (Problem("", hint=error.hint),)
    for problem in problems:
        if problem.origin:
            yield f"  --> {problem.origin}"
        if problem.hint:
            yield f"hint: {problem.hint}"


def caller_of(verb: str, subject: object, arguments: Mapping[str, object]) -> Caller:
    """Who asks, as the call that it was, without the arguments that say nothing."""
    said = [] if subject is None else [repr(_plain(subject))]
    said += [f"{name}={_plain(it)!r}" for name, it in arguments.items() if _is_given(it)]
    start = time.perf_counter()
    return Caller([f"mnist_arch.{verb}({', '.join(said)})"], lambda: time.perf_counter() - start)


def _is_given(value: object) -> bool:
    """Whether an argument says something: whether it is not at its default."""
    return value is not None and value is not False and value not in ("auto", [], {})


def _plain(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def path_of(given: str | os.PathLike[str] | None) -> Path | None:
    """A path with `~` replaced. Raises PathError."""
    return None if given is None else expanded(given)


def overrides_of(
    values: Mapping[str, Any] | None, arguments: Mapping[str, object] | None = None
) -> list[Override]:
    """What stands above the spec: values by their paths, and arguments of those names.

    A `kind` comes first, since other keys are of it. Raises SpecError.
    """
    paths = sorted(values or {}, key=lambda path: not str(path).endswith("kind"))
    found = [
        _override(str(path), (values or {})[path], origin=f"set[{str(path)!r}]") for path in paths
    ]
    for name, value in (arguments or {}).items():
        if value is not None:
            found.append(_override(_IN_SPEC[name], value, origin=f"{name}={value!r}"))
    return found


def _override(path: str, value: Any, *, origin: str) -> Override:
    if not isinstance(value, dict | list | tuple):
        return override(path, value, origin=origin)
    try:
        text = json.dumps(value)
    except (TypeError, ValueError) as error:
        message = f"is no value that YAML could have: {error}"
        raise SpecError((Problem(message, path, origin),)) from None
    return Override(override(path, None, origin=origin).path, parse(text, origin))


def check_whole(name: str, value: int | None, *, least: int, most: int) -> None:
    """Raises SpecError for what is given and is no whole number within these."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        message = f"must be a whole number from {least:,} to {most:,}, not {value!r}"
        raise SpecError((Problem(message, name),))


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raises SpecError for a word that is none of the choices, with the nearest one."""
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(choices)}"
        raise SpecError((Problem(f"{value!r} is not one of the values", name, hint=hint),))


_WHAT: Final = ("spec", *_IN_SPEC, "seed", "seeds", "set")
_HOW: Final = ("engine", "threads")
_ALONE: Final = {
    "resume": (*_WHAT, "from_manifest", "again", "out", "device", *_HOW),
    "from_manifest": (*_WHAT, *_HOW),
    "seeds": ("seed",),
}
"""Arguments of `train` that settle what these others say."""


def clash(arguments: Mapping[str, object]) -> tuple[str, list[str]] | None:
    """An argument of `train`, and those beside it that say the same thing; None if there are none.

    A name may end in a line, as that of an option does which Python has a function for.
    """
    given = {name.rstrip("_") for name, value in arguments.items() if _is_given(value)}
    for name, others in _ALONE.items():
        if name in given and (clashing := [it for it in others if it in given]):
            return name, clashing
    return None


def check_alone(name: str, value: object, others: Mapping[str, object]) -> None:
    """Raises SpecError for arguments that say the same thing as `name`, where that is given."""
    clashing: Sequence[str] = [other for other, it in others.items() if it is not None]
    if value is not None and clashing:
        message = f"excludes {', '.join(clashing)}"
        raise SpecError((Problem(message, name, hint=f"leave out {', '.join(clashing)}"),))
