"""What all pictures share: matplotlib as it comes, a figure, its files, colours and a frame.

Nothing that a user has configured decides what is drawn, or whether anything is: not MPLBACKEND, no
matplotlibrc, no font of theirs. No global state is left changed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from mnist_arch.errors import PictureError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["png", "svg", "pdf"]
"""What a picture can be written as; SVG and PDF have lines and letters, not pixels."""
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

DPI: Final = 120

INK: Final = "#1f2933"
SOFT: Final = "#7b8794"
GRID: Final = "#e4e7eb"
BLUE: Final = "#1f6fb2"
ORANGE: Final = "#e07b26"
GREEN: Final = "#2b8a5b"
RED: Final = "#b42318"
DASHES: Final = (0, (4, 2))

# A name may have a dollar sign, which is no formula. Without dates and versions, and with names of
# our own inside an SVG, the same picture is the same bytes.
_SETTINGS: Final = {"text.parse_math": False, "svg.hashsalt": "mnist-arch"}
_METADATA: Final[dict[Format, dict[str, None]]] = {
    "png": {"Software": None},
    "svg": {"Creator": None, "Date": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


def format_of(path: Path) -> Format | None:
    """The format that the suffix of a name asks for; None where there is no such format."""
    return next((it for it in FORMATS if path.suffix.lower() == f".{it}"), None)


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Within it, matplotlib draws by its own defaults, and says nothing.

    Raises PictureError in the place of whatever goes wrong inside.
    """
    with _silence():
        try:
            matplotlib = _matplotlib()
            settings = {**matplotlib.rcParamsDefault, **_SETTINGS}
            del settings["backend"]  # it is for windows, which nothing here opens
            with matplotlib.rc_context(settings):
                yield
        except Exception as error:  # of matplotlib, which has no class of its own for them
            raise PictureError(f"cannot draw: {type(error).__name__}: {error}") from error


def _matplotlib() -> Any:
    """matplotlib, also where the user's configuration keeps it from being imported."""
    try:
        return import_module("matplotlib")
    except Exception:  # for a backend that is not installed, or a file that cannot be read
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # what has been begun refers to a module that came to nothing
        with _without_configuration():
            return import_module("matplotlib")


@contextlib.contextmanager
def _without_configuration() -> Iterator[None]:
    """Hides what matplotlib reads when it is imported: two variables, and a file right here."""
    kept = {name: os.environ.pop(name, None) for name in ("MPLBACKEND", "MATPLOTLIBRC")}
    os.environ["MATPLOTLIBRC"] = os.devnull
    try:
        with contextlib.ExitStack() as stack:
            if os.path.exists("matplotlibrc"):
                stack.enter_context(contextlib.chdir(Path(__file__).parent))
            yield
    finally:
        del os.environ["MATPLOTLIBRC"]
        os.environ.update({name: value for name, value in kept.items() if value is not None})


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Holds back what matplotlib logs and warns of: a cache of fonts, a font that is not there."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def new_figure(width: float, height: float, title: str, facts: str = "") -> Figure:
    """A figure of inches, its title on top, and under it in small letters what it is about."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    margin, top = 0.1, 0.75 if facts else 0.5
    inside = (margin / width, margin / height, 1 - 2 * margin / width, 1 - (top + margin) / height)
    layout = ConstrainedLayoutEngine(rect=inside)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    left, above = 1.5 * margin / width, 1 - 1.2 * margin / height
    words = figure.text(left, above, title, va="top", fontsize=15, fontweight="bold", color=INK)
    room = (1 - 2 * left) * width * DPI
    words.set_fontsize(15 * min(1, room / words.get_window_extent().width))  # of a long name
    figure.text(left, above - 0.36 / height, facts, va="top", fontsize=10.5, color=SOFT)
    return figure


def file_bytes(figure: Figure, kind: Format = "png") -> bytes:
    """The figure as a file of that format."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=_METADATA[kind])
    return buffer.getvalue()


def frame_and_grid(axes: Axes) -> None:
    """Lines on the left and below, a grid behind what is drawn, numbers without ticks."""
    axes.grid(True, which="major", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelsize=9, labelcolor=INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)


def frame_only(axes: Axes) -> None:
    """A thin frame without ticks, as around an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(GRID)


def log_axis(axes: Axes) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 times the powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
