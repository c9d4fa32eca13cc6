"""A report as one file: no request leads out of it."""

from __future__ import annotations

from mnist_arch.pages.rendering import rendered
from mnist_arch.report.content import Content
from mnist_arch.runs.stored import short_number


def page(content: Content) -> str:
    """The whole page, as HTML. Whatever a user wrote is escaped."""
    return rendered("mnist_arch.report", "page.html", content=content, short=short_number)
