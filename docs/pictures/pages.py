"""Takes the pictures of the pages in a headless Chromium.

    python docs/pictures/pages.py [REPORT.html]

`play.png`, `play-dark.png` and `play-phone.png` are the page of `mnist-arch play zoo/s6` with a
digit drawn on it, by the mouse or by a finger. Of a report, `report.png`, `report-dark.png` and
`report-phone.png` are what is seen first.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "support"))

from chromium import PHONE, Page, browser  # noqa: E402

from mnist_arch.play.page import page_of  # noqa: E402
from mnist_arch.runs.find import find  # noqa: E402

COLOURS = 48
DESK = (1080, 900)
THREE = [(0.3, 0.25), (0.5, 0.15), (0.7, 0.28), (0.66, 0.42), (0.45, 0.48)]
THREE += [(0.66, 0.54), (0.72, 0.72), (0.5, 0.86), (0.28, 0.76)]


def save(page: Page, name: str) -> None:
    """The window as a PNG of few colours."""
    picture = Image.open(io.BytesIO(page.picture())).convert("RGB")
    picture.quantize(COLOURS).save(HERE / f"{name}.png", optimize=True)


def draw(page: Page, *, touch: bool) -> None:
    """A three, as a person would draw it."""
    left, top, width = page.run(
        "(({left, top, width}) => [left, top, width])(board.getBoundingClientRect())"
    )
    page.stroke([(left + width * x, top + width * y) for x, y in THREE], touch=touch)
    page.run("document.activeElement.blur()")
    page.shown()


def main() -> None:
    """Writes the pictures beside this file."""
    with tempfile.TemporaryDirectory() as name, browser(Path(name)) as page:
        path = Path(name) / "play.html"
        path.write_text(page_of([find("zoo/s6", runs=Path(name))]), "utf-8")
        pages = {"play": path}
        if len(sys.argv) > 1:
            pages["report"] = Path(sys.argv[1]).resolve()
        for title, file in pages.items():
            page.open(file, DESK)
            if title == "play":
                draw(page, touch=False)
            save(page, title)
            page.run("document.getElementById('theme').click()")
            save(page, f"{title}-dark")
            page.open(file, PHONE, touch=True)
            if title == "play":
                draw(page, touch=True)
            save(page, f"{title}-phone")


if __name__ == "__main__":
    main()
