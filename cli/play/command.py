"""`mnist-arch play`."""

from __future__ import annotations

import os
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from mnist_arch.files import shown, write_whole
from mnist_arch.runs.find import find
from mnist_arch.runs.folder import runs_folder

from .. import heavy_imports
from ..consoles import stdout
from ..options import Runs, at_home, complete_spec
from ..prose import say

What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN",
        help="Networks by the folder of a run, a .safetensors file or a name, as eval finds them; "
        "all of them answer to one drawing. The latest finished run unless given.",
        autocompletion=complete_spec,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        callback=at_home,
        help="Write the page as one file that stands alone, and show nothing.",
    ),
]
Open = Annotated[
    bool, typer.Option("--open/--no-open", help="Open the page in the browser of this machine.")
]


def play(what: What = None, out: Out = None, open_: Open = True, runs: Runs = None) -> None:
    """Draw a digit, and see what the network says while you draw.

    A page for mouse, finger and keys: probabilities, the 28×28 pixels that the
    network sees, and what each block makes of them. All is computed in the page,
    and only this machine can open it. Ctrl-C ends it.

    Examples:

      mnist-arch play zoo/s6

      mnist-arch play s6 mine --out play.html
    """
    folder = runs_folder(runs)
    names: list[str | None] = [*what] if what else [None]
    found = [find(name, runs=folder) for name in names]
    with heavy_imports():
        from mnist_arch.play.page import page_of

        page = page_of(found)
    if out is not None:
        write_whole(out, page.encode())
        say(stdout(), f"{shown(out)}, {len(page.encode()):,} bytes", label="wrote        ")
        return
    _serve(page, opened=open_)


def _serve(page: str, *, opened: bool) -> None:
    from mnist_arch.play.serving import address_of, server_of

    with server_of(page) as server:
        address = address_of(server)
        console = stdout()
        say(console, f"{address} until Ctrl-C", label="draw at      ")
        console.file.flush()
        if opened:
            _open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass  # how it is meant to end


def _open(address: str) -> None:
    """Opens a window of a browser; one that runs in the terminal would take that over.

    Unless the user has asked for that one. In a thread, since a browser may wait for the page.
    """
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if "BROWSER" in os.environ or type(browser) is not webbrowser.GenericBrowser:
        threading.Thread(target=browser.open, args=(address,), daemon=True).start()
