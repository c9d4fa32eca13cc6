"""Names of arms that the file does not name: the values on which they differ from each other."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

MOST_OF_NAME: Final = 64
"""Letters of a name, however many values there are."""
_MOST_OF_RUN_NAME: Final = 48
_CUT: Final = "~"
"""Before what tells a name that does not say all from others that begin alike."""


class Names:
    """Names of arms by their values at the same paths, such as `dropout=0.2,norm=batch`.

    A name depends on the arm's own values and on these paths alone, so that it stays where an axis
    gets one value more.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        """The paths, such as `blocks[0].channels[0]`, of which names have the last parts."""
        self.keys = short_paths(paths)

    def name(self, values: Sequence[tuple[str, str]]) -> str:
        """The name of the arm that has these values, as one would write them, at the paths."""
        shown = [f"{self.keys[path]}={short_value(path, value)}" for path, value in values]
        return _bounded(",".join(shown), whole=repr(values), says_all=_says_all(values))


def says_all(name: str) -> bool:
    """Whether an arm's name has all that the arm differs by."""
    return "=" in name and _CUT not in name


def parts(text: str) -> Iterator[str]:
    """Names or values in pieces that may stand on lines of their own: `rate=0.2,` `norm=batch`."""
    depth, begin = 0, 0
    for index, char in enumerate(text):
        depth += (char in "[{") - (char in "]}")
        if char in ",;" and depth == 0:
            yield text[begin : index + 1]
            begin = index + 1
    yield text[begin:]


def run_name(name: str) -> str:
    """A name that may be part of a folder's, and that of a network; it need not be the only one."""
    dotted = name.replace("[", ".").replace("]", "")
    safe = re.sub(r"[^A-Za-z0-9._]+", "-", dotted).strip("-._")
    return safe[:_MOST_OF_RUN_NAME].rstrip("-._") or "arm"


def short_paths(paths: Iterable[str]) -> dict[str, str]:
    """Each path by its last parts, as few as tell it from the others."""
    split = {path: path.split(".") for path in paths}
    found: dict[str, str] = {}
    for count in range(1, 1 + max(map(len, split.values()), default=0)):
        ends = {path: ".".join(split[path][-count:]) for path in split}
        several = Counter(ends.values())
        for path, end in ends.items():
            if path not in found and several[end] == 1 and end != "kind":
                found[path] = end
    return {path: found.get(path, path) for path in split}


def short_value(path: str, value: str) -> str:
    """Blocks without what goes without saying: `[{channels: [8], pool: max}]` is `[[8]]`."""
    if path != "blocks":
        return value
    kept, depth = "", 0
    for char in value:
        depth -= char in "]}"
        kept += "" if char in "{}" and depth == 1 else char
        depth += char in "[{"
    for noise in ("channels: ", ", pool: max"):
        kept = kept.replace(noise, "")
    return kept


def _says_all(values: Sequence[tuple[str, str]]) -> bool:
    return all(short_value(path, value) == value for path, value in values)


def _bounded(name: str, *, whole: str, says_all: bool) -> str:
    """A name, cut where it is long; a digest of `whole` tells those that do not say all."""
    if says_all and len(name) <= MOST_OF_NAME:
        return name
    digest = hashlib.sha256(whole.encode()).hexdigest()[:10]
    return f"{name[: MOST_OF_NAME - 1 - len(digest)]}{_CUT}{digest}"
