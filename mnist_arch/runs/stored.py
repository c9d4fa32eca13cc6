"""What files of runs say, as they are stored: nothing is validated, and little is parsed.

Ten thousand manifests are looked through in a second that way. Nothing here imports torch.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from mnist_arch.files import refusal

_SET: Final = re.compile(r"(?:--set (.*)|set\[)", re.DOTALL)
"""Where a value came from that a flag, or an argument of a verb, has set."""
_ANY_SET: Final = (b'": "--se', b'": "set[')
_OF_NETWORK: Final = ("blocks", "classes", "defaults", "head")

_LARGE: Final = (
    ("experiment", b'\n  "experiment": {', b'\n  },\n  "format": '),
    ("origins", b'\n  "origins": {', b'\n  },\n  "seed": '),
)
"""Objects that are most of a manifest, with how they begin and end where this program writes it. A
new line stands only between tokens of JSON, so its indentation tells what is inside what."""


def stored_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """An object of JSON, not validated; empty where there is none, or a damaged one.

    Raises StorageError where it may not be read.
    """
    return _object(_content(path))


def stored_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A manifest, not validated, whose largest objects are parsed when something is asked of them.

    Empty where there is none, or a damaged one. Raises StorageError where it may not be read.
    """
    content = _content(path)
    rest, large = content, {}
    for key, begins, ends in _LARGE:
        start, end = rest.find(begins), rest.rfind(ends)
        if 0 < start < end:
            large[key] = _Later(rest[start + len(begins) - 1 : end + 4])
            rest = rest[: start + len(begins) - 1] + b"0" + rest[end + 4 :]
    found = _object(rest)
    if found.keys() >= large.keys():
        return {**found, **large}
    return _object(content)  # as others may write it


class _Later(Mapping[str, Any]):
    """An object of a manifest, as it is written there; empty where it is damaged."""

    def __init__(self, text: bytes) -> None:
        self.text = text

    def __getitem__(self, key: str) -> Any:
        if "_whole" not in self.__dict__:
            before = f'\n    "{key}": '.encode()
            start = self.text.rfind(before) + len(before)
            line = self.text[start : self.text.find(b"\n", start)].removesuffix(b",")
            if start >= len(before) and line[-1:] not in (b"{", b"["):
                return _value(line)
        return self._whole[key]

    @cached_property
    def _whole(self) -> dict[str, Any]:
        return _object(self.text)

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)


def _content(path: str | os.PathLike[str]) -> bytes:
    """Empty where there is no file. Raises StorageError."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise refusal(error, Path(path), doing="read") from error


def _object(content: bytes) -> dict[str, Any]:
    return value if isinstance(value := _value(content), dict) else {}


def _value(content: bytes) -> Any:
    """None for what is no JSON."""
    try:
        return from_json(content)
    except ValueError:
        return None


def network_name(manifest: Mapping[str, Any], folder: str) -> str:
    """The name of the network of a stored manifest; where that is damaged, by the folder's name."""
    experiment = manifest.get("experiment")
    name = experiment.get("name") if isinstance(experiment, Mapping) else None
    return name if isinstance(name, str) else re.sub(r"-[0-9a-f]{8}-s\d+\Z", "", folder)


def shown_name(manifest: Mapping[str, Any], label: Mapping[str, Any], folder: str) -> str:
    """The name that a run is shown by: its label, or that of its network with what was set of it.

    `s6+defaults.dropout=0.1` is s6 with another dropout: a network of its own.
    """
    if isinstance(given := label.get("name"), str):
        return given
    origins = manifest.get("origins")
    stored = origins.items() if isinstance(origins, Mapping) else ()
    if isinstance(origins, _Later) and not any(it in origins.text for it in _ANY_SET):
        stored = ()
    changes: dict[str, None] = {}
    for where, origin in [it for it in stored if str(it[1])[:4] in ("--se", "set[")]:
        if (found := _SET.match(str(origin))) and re.split(r"[.[]", where)[0] in _OF_NETWORK:
            changes[found[1] or f"{where}={stored_value(manifest, where)}"] = None
    return "+".join((network_name(manifest, folder), *changes))


def named_by(what: str, *, shown: str, network: str, digest: str) -> int | None:
    """How near a word is to naming an experiment, 0 the nearest; None where it does not.

    By the name that it is shown by, then by that of its network, then by either with the start of
    its digest behind it, as folders have it: `mine-1f0c9a3e` is one of several that are `mine`.
    """
    names = ((shown,), (network,), (f"{shown}-{digest[:8]}", f"{network}-{digest[:8]}"))
    return next((rank for rank, them in enumerate(names) if what in them), None)


def short_number(text: str) -> str:
    """A number that is drawn, as names of arms have it: four digits; anything else as it is."""
    if not re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", text) or len(text) <= 6:
        return text
    return f"{float(text):.4g}"


def stored_value(manifest: Mapping[str, Any], where: str) -> str:
    """The value of a place in the experiment of a stored manifest, as short text."""
    value: Any = manifest.get("experiment")
    for part in re.findall(r"[^.\[\]]+", where):
        try:
            value = value[int(part) if isinstance(value, list) else part]
        except (KeyError, IndexError, TypeError, ValueError):
            return "?"
    for key in ("rate", "out", "kind"):  # the values that have a short form
        if isinstance(value, dict) and key in value:
            value = value[key]
    return value if isinstance(value, str) else json.dumps(value)
