"""Hooks of mkdocs: the project's address, and links that lead out of docs/.

The address is that of pyproject.toml. Where there is none yet, such a link becomes text with the
place of the file. That the files exist is tested by `tests/house/test_docs.py`.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)\s]+)\)")


@cache
def address() -> str | None:
    """Of the repository, without a slash at its end; None where it is not public."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    found: str | None = project["project"].get("urls", {}).get("Repository")
    return found and found.rstrip("/")


def on_config(config: Any, **_: Any) -> Any:
    """The site links to the repository."""
    config.repo_url = address()
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page without links to files that the site does not have."""
    return OUTSIDE.sub(_elsewhere, markdown)


def _elsewhere(link: re.Match[str]) -> str:
    text, place = link.groups()
    if address():
        return f"[{text}]({address()}/blob/main/{place})"
    return f"`{place}`" if place.endswith(text) else f"{text} (`{place}`)"
