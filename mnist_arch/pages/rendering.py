"""Pages that stand alone: one look, light and dark, and whatever users wrote is escaped."""

from __future__ import annotations

from importlib import resources
from typing import Any


def rendered(room: str, name: str, **values: object) -> str:
    """The template `name` of a room, such as `mnist_arch.report`, which extends `base.html`.

    No request leads out of the page: its own policy forbids it.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    sources = {
        "base.html": _text("mnist_arch.pages", "base.html"),
        name: _text(room, name),
    }
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(
        loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, **options
    )
    return environment.get_template(name).render(**values)


def _text(room: str, name: str) -> str:
    return (resources.files(room) / name).read_text("utf-8")
