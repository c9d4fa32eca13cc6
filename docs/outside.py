"""A hook of mkdocs: links of a page that lead out of docs/ become text, with the file's place.

The project has no public address yet to which they could lead. That the files exist is tested by
`tests/house/test_docs.py`.
"""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)\s]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page without links to files that the site does not have."""
    return OUTSIDE.sub(_as_text, markdown)


def _as_text(link: re.Match[str]) -> str:
    text, place = link.groups()
    return f"`{place}`" if place.endswith(text) else f"{text} (`{place}`)"
