"""What was meant by an option, a value or a command of the command line that there is not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, Final

from mnist_arch.spec.strict_yaml import scalar
from mnist_arch.spec.suggestions import Suggestions
from mnist_arch.spec.synonyms import called, not_here, plain

from .vocabulary import COMMANDS, OPTIONS

_DEVICES: Final = {"gpu": "cuda", "nvidia": "cuda", "metal": "mps"}


def way_out(error: Any, arguments: Sequence[str]) -> str:
    """The hint for a usage error of Typer, of whose classes none is public."""
    context = error.ctx
    path = "mnist-arch" if context is None else context.command_path
    message = error.format_message()
    hint = ""
    if option := getattr(error, "option_name", None):
        if "No such option" in message:
            hint = _option(option, arguments, context)
    elif found := re.search(r"No such command '([^']*)'", message):
        hint = _command(found[1])
    elif found := re.search(r"for '(--[a-z-]+)': '([^']*)' is not a whole number", message):
        hint = _whole(found[1], found[2])
    elif found := re.search(r"'([^']*)' is not one of (.*)", message):
        hint = _choice(found[1], re.findall(r"'(.*?)'", found[2]))
    return hint or f"{path} --help"


def _option(option: str, arguments: Sequence[str], context: Any) -> str:
    word, given = _written(option, arguments)
    flags = _flags(context.command)
    if same := [flag for flag in flags if plain(flag) == plain(word)]:
        return f"did you mean {same[0]}?"
    known = called(OPTIONS, word)
    for entry in known:
        if entry == "SPEC" and "--set" in flags:
            return f"a network is named without an option: {context.command_path} {given or 's6'}"
        if entry.split()[0] in flags:
            return f"did you mean {_filled(entry, given)}?"
    if there := _in_spec(word, given, flags):
        return there
    if why := not_here(word):
        return why
    others = context.parent.command.commands.items() if context.parent is not None else ()
    for entry in known:
        for name, command in others:
            if entry.split()[0] in _flags(command):
                return f"an option of another command: mnist-arch {name} {_filled(entry, given)}"
    if near := difflib.get_close_matches(word.strip("-"), [it[2:] for it in flags], n=1):
        return f"did you mean --{near[0]}?"
    return ""


def _written(option: str, arguments: Sequence[str]) -> tuple[str, str | None]:
    """The option as it was written, which may have a single dash, and the value beside it."""
    for index, argument in enumerate(arguments):
        word, equals, value = argument.partition("=")
        is_it = word == option or (option[:2] != "--" and word.startswith(option))
        if is_it:
            following = arguments[index + 1 : index + 2]
            beside = following[0] if following and not following[0].startswith("--") else None
            return word, value if equals else beside
    return option, None


def _in_spec(word: str, given: str | None, flags: Sequence[str]) -> str:
    """Where the spec has what an option names; empty where it has not."""
    value = None if given is None else scalar(given)
    if "--set" in flags:
        return Suggestions(as_set=True).elsewhere((word,), value)
    if "--workers" in flags:
        from mnist_arch.sweeps.spec import Sweep

        return Suggestions(Sweep, inside="base").elsewhere((word,), value)
    there = Suggestions(as_set=True).elsewhere((word,), value)
    return f"nothing is trained here; in `mnist-arch train` {there}" if there else ""


def _filled(entry: str, given: str | None) -> str:
    """An option with the value that was given, where it can take it."""
    name, _, example = entry.partition(" ")
    if example == "DIR" and given:
        return f"{name} {given}"
    is_number = given is not None and isinstance(scalar(given), int) and example.isdecimal()
    return f"{name} {given}" if is_number else entry


def _command(word: str) -> str:
    own = [*called(COMMANDS, word), *(name for name in COMMANDS if plain(name) == plain(word))]
    own += difflib.get_close_matches(word, COMMANDS, n=1)
    return f"did you mean mnist-arch {own[0]}?" if own else ""


def _whole(option: str, given: str) -> str:
    """How the whole number is written that was meant, where one was."""
    try:
        value = float(given)
    except ValueError:
        return ""
    if not value.is_integer():
        return ""
    return f"a whole number is written without a point: {option} {value:.0f}"


def _choice(given: str, choices: Sequence[str]) -> str:
    word = _DEVICES.get(given.lower(), given.lower())
    near = [it for it in choices if it == word] or difflib.get_close_matches(word, choices, n=1)
    return f"did you mean {near[0]}?" if near else ""


def _flags(command: Any) -> list[str]:
    """The long options of a command."""
    return [name for it in command.params for name in it.opts if name.startswith("--")]
