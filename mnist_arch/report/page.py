"""A report as one file: no request leads out of it."""

from __future__ import annotations

from importlib import resources

from mnist_arch.report.content import Content


def page(content: Content) -> str:
    """The whole page, as HTML. Whatever a user wrote is escaped."""
    from jinja2 import Environment, StrictUndefined

    source = (resources.files("mnist_arch.report") / "page.html").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source).render(content=content)
