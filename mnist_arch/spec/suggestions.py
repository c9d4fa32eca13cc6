"""What somebody meant who wrote a key or a value that the language has not."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from mnist_arch.spec.alternatives import EXAMPLES, NO, alternatives, last_part
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.grammar import (
    accepts,
    fields,
    is_list,
    keys_by_kind,
    pattern,
)
from mnist_arch.spec.strict_yaml import MAX_KEY, KeyPath, flow, place
from mnist_arch.spec.synonyms import (
    ARGUMENTS,
    Meaning,
    called,
    meanings,
    not_here,
    plain,
    remark,
)


@dataclass(frozen=True)
class _Spot:
    """A place of the language that was meant."""

    path: KeyPath
    """As it is to be written."""
    own: KeyPath
    """The same in `root`, the spec that stands there."""
    root: type[BaseModel]
    value: Any = None
    """What to write there; None for what was given."""


@dataclass(frozen=True)
class Suggestions:
    """Where a file or an argument is at fault, and what else may have been meant."""

    root: type[BaseModel] = Experiment
    """What is being read."""
    inside: str = ""
    """The key of it under which a spec stands; empty where it is a spec itself."""
    as_set: bool = False
    """Whether it was written for `set`, above the file."""

    def for_key(self, path: KeyPath, given: object, valid: Sequence[str]) -> str:
        """The way out for the unknown key that ends `path`; `valid` are the keys of its object."""
        key, listing = str(path[-1]), f"valid: {', '.join(valid)}"
        close = close_to(key, valid, likeness=0.8)
        spot, note = self._meant(path, valid), remark(key) or remark(str(given))
        if spot is not None and spot.path[-1] in (*close, *valid) and spot.path[:-1] == path[:-1]:
            if plain(key) == plain(str(spot.path[-1])) or spot.path[-1] in close:
                return f"did you mean `{spot.path[-1]}`? {listing}"
            said = f"did you mean {self._form(path, spot, None if remark(key) else given)}?"
            return " ".join(filter(None, (said, note and f"{note};", listing)))
        is_elsewhere = spot is None or spot.path[:-1] != path[:-1]
        if is_elsewhere and (why := not_here(key)):
            return f"{why}; {listing}"
        if close:
            return f"did you mean `{close[0]}`? {listing}"
        if spot is not None and spot.path[:-1] == path[:-1]:
            own = str(spot.path[-1])
            by_kind = keys_by_kind(path[:-1])
            kinds = sorted(kind for kind, keys in by_kind.items() if own in keys)
            if kinds:
                return f"`{own}` belongs to `kind: {' or '.join(kinds)}`; {listing}"
        if there := self.elsewhere(path, given):
            return there
        if arguments := called(ARGUMENTS, key):
            return f"an argument, not a key of the spec: `{with_value(arguments[0], given)}`"
        return nearest(key, valid)

    def elsewhere(self, path: KeyPath, given: object) -> str:
        """Where the key that ends `path` is, and its value; empty where it is not known."""
        key = str(path[-1])
        if (spot := self._meant(path, ())) is None:
            return ""
        form = self._form(path, spot, None if remark(key) else given)
        note = remark(key) or remark(str(given))
        there = f"here it is `{place(spot.path)}`: {form}"
        if spot.path != spot.own:
            own, inside = place(spot.own), place(spot.path[: -len(spot.own)])
            there = f"a key of an experiment: set `{own}` under `{inside}`: {form}"
        return "; ".join(filter(None, (there, note)))

    def for_value(self, path: KeyPath, given: object) -> str:
        """The way out for a value that does not fit; empty where none is known."""
        spot = _Spot(path, path, self.root)
        for value in alternatives(given, pattern(path)):
            if accepts(path, value, self.root):
                return f"did you mean `{self._written(path, path[:-1], value)}`?"
        if isinstance(path[-1] if path else 0, int) or pattern(path) not in EXAMPLES:
            return ""
        return f"such as `{self._written(path, path[:-1], self._example(spot, None))}`"

    def for_missing(self, path: KeyPath) -> str:
        """The way out for a key that is needed; empty where none is known."""
        example = self._example(_Spot(path, path, self.root), None)
        return "" if example is None else f"such as `{self._written(path, path[:-1], example)}`"

    def for_word(self, given: object, valid: Sequence[str]) -> str:
        """The way out for a value that is not one of the words `valid`."""
        said = last_part(str(given))
        text = remark(said) or not_here(said)
        known = next((it for it in alternatives(given, "") if it in valid), None)
        if known is None and (why := not_here(said)):
            return f"{why}; valid: {', '.join(valid)}"
        hint = nearest(str(given) if known is None else str(known), valid)
        return f"{hint}; {text}" if text else hint

    # ------------------------------------------------------------------------------------- places

    def _meant(self, path: KeyPath, valid: Sequence[str]) -> _Spot | None:
        """Where the key is known: in its own object, else deeper, else anywhere."""
        key, parent = str(path[-1]), path[:-1]
        under = pattern(parent)
        known = [*places_of(key, self.root), *(places_of(key, Experiment) if self.inside else ())]
        found = [*map(Meaning, known), *meanings(key)]
        local = [it for it in found if it.place.rpartition(".")[2] in valid]
        for meaning in sorted(local, key=lambda it: it.place.rpartition(".")[0] != under):
            here = (*parent, meaning.place.rpartition(".")[2])
            return _Spot(here, here, self.root, meaning.value)
        deeper = [it for it in found if not under or it.place.startswith(f"{under}.")]
        for meaning in (*deeper, *found):
            if meaning.place in fields(self.root):
                there = _along(path, meaning.place, self.root)
                if there != path or keys_by_kind(parent):
                    return _Spot(there, there, self.root, meaning.value)
            if self.inside and meaning.place in fields(Experiment):
                there = _along((), meaning.place, Experiment)
                return _Spot((self.inside, *there), there, Experiment, meaning.value)
        return None

    # ------------------------------------------------------------------------------ what to write

    def _form(self, path: KeyPath, spot: _Spot, given: object) -> str:
        """What to write in place of a key and its value, and where, if that is elsewhere."""
        off = given is False or (isinstance(given, str) and given.lower() in NO)
        value = self._example(spot, given) if spot.value is None or off else spot.value
        shared = 0
        for one, other in zip(path[:-1], spot.path[:-1], strict=False):
            if one != other:
                break
            shared += 1
        there, holder = spot.path, {spot.path[-1]: value}
        if not accepts(spot.own[:-1], holder, spot.root):
            for kind, keys in keys_by_kind(spot.own[:-1]).items():
                if there[-1] in keys and len(there) > len(path):
                    there, value = there[:-1], {"kind": kind, **holder}
        text = self._written(there, there[:shared], value)
        if self.as_set or spot.path[:-1] == path[:-1]:
            return f"`{text}`"
        where = place(spot.path[:shared])
        elsewhere = f" in `{where}`" if where else " at the top"
        return f"`{text}`{elsewhere if shared < len(path) - 1 else ''}"

    def _written(self, path: KeyPath, above: KeyPath, value: object) -> str:
        """A value with the keys that lead to it from the object `above`."""
        if self.as_set:
            return as_argument(path, value)
        return flow(value) if isinstance(path[-1], int) else as_yaml(path[len(above) :], value)

    def _example(self, spot: _Spot, given: object) -> object:
        """What was given, if it fits or can be made to, else a value that makes sense there."""
        where = pattern(spot.own)
        if given is not None:
            for value in (given, *alternatives(given, where)):
                if accepts(spot.own, value, spot.root):
                    return value
        if where in EXAMPLES:
            return EXAMPLES[where]
        defaults = (field.get_default() for field in fields(spot.root).get(where, ()))
        known = (it for it in defaults if isinstance(it, str | int | float))
        return next(known, EXAMPLES.get(f"defaults.{spot.own[-1]}"))


def as_yaml(path: KeyPath, value: object) -> str:
    """`("recipe", "epochs")` and 5 → `recipe: {epochs: 5}`."""
    for part in reversed(path):
        value = [value] if isinstance(part, int) else {part: value}
    text = flow(value)
    return text[1:-1] if isinstance(value, dict) and path else text


def as_argument(path: KeyPath, value: object) -> str:
    """`("recipe", "epochs")` and 5 → `set={'recipe.epochs': 5}`."""
    while isinstance(value, dict) and len(value) == 1:  # which leaves the other keys as they are
        ((key, value),) = value.items()
        path = (*path, key)
    return f"set={ {'.'.join(map(str, path)): value}!r}"


def with_value(argument: str, given: object) -> str:
    """An argument with an example of a value, or with a number that was given in place of it."""
    name, _, example = argument.partition("=")
    is_number = isinstance(given, int) and not isinstance(given, bool) and example.isdecimal()
    return f"{name}={given}" if is_number else argument


def nearest(given: str, valid: Sequence[str]) -> str:
    """The valid words, and the one that is nearest by its letters, if any is near."""
    near = close_to(given, valid)
    listing = f"valid: {', '.join(valid)}"
    return f"did you mean `{near[0]}`? {listing}" if near else listing


def close_to(given: str, valid: Sequence[str], *, likeness: float = 0.6) -> list[str]:
    """The valid word that is nearest by its letters, if any is as like as that, from 0 to 1."""
    return difflib.get_close_matches(given[:MAX_KEY], valid, n=1, cutoff=likeness)


def _along(path: KeyPath, where: str, root: type[BaseModel]) -> KeyPath:
    """A path to a place by its pattern, by the items of `path` as far as it goes, or the first."""
    there: KeyPath = ()
    for part in where.split("."):
        there = (*there, part)
        if is_list(pattern(there), root) and pattern(there) != where:
            same = path[: len(there)] == there and len(path) > len(there)
            there = (*there, path[len(there)] if same else 0)
    return there


def places_of(key: str, root: type[BaseModel]) -> tuple[str, ...]:
    """The places of all keys of one name, in any case, as patterns."""
    return _by_name(root).get(plain(key), ())


@cache
def _by_name(root: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for where in fields(root):
        name = plain(where.rpartition(".")[2])
        found[name] = (*found.get(name, ()), where)
    # The recipe first, of places as deep: people mean its momentum, not that of a norm.
    return {name: tuple(sorted(places, key=_rank)) for name, places in found.items()}


def _rank(place: str) -> tuple[int, bool]:
    return place.count("."), not place.startswith("recipe.")
