"""The program: its commands, and the one place where errors become text and exit codes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from mnist_arch.errors import MnistArchError

from . import errors
from .evaluate import evaluate
from .summary import summary
from .sweep import sweep
from .train import train


class Group(TyperGroup):
    """The error boundary. `main` is what the console script and the tests both call."""

    as_json = False

    # Typer's own `main` names each option; here they are passed on as they come.
    def main(self, args: Sequence[str] | None = None, **options: Any) -> NoReturn:  # type: ignore[override]
        _open_streams()
        arguments = list(sys.argv[1:] if args is None else args)
        self.as_json = "--json" in arguments
        options["standalone_mode"] = False  # else Typer prints usage errors in its own way
        try:
            code = super().main(arguments, **options)
        except errors.UsageError as error:
            code = self._usage(error)
        except SystemExit as error:  # how Rich and Typer leave when the reader has closed the pipe
            if not isinstance(error.__context__, BrokenPipeError):
                raise
            _silence()
            code = errors.PIPE_CLOSED
        except OSError as error:  # of --help and --version, which are printed before `invoke`
            code = errors.report_unexpected(error, as_json=self.as_json)
        try:
            sys.stdout.flush()
        except OSError:  # it has been reported
            _silence()
        sys.exit(code if isinstance(code, int) else errors.DONE)

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except MnistArchError as error:
            raise typer.Exit(errors.report(error, as_json=self.as_json)) from None
        except (errors.Interrupted, KeyboardInterrupt) as error:
            stop = error if isinstance(error, errors.Interrupted) else errors.Interrupted()
            raise typer.Exit(errors.report_interrupt(stop, as_json=self.as_json)) from None
        except BrokenPipeError:
            _silence()
            raise typer.Exit(errors.PIPE_CLOSED) from None
        except (typer.Exit, typer.Abort, errors.UsageError):
            raise
        except Exception as error:
            raise typer.Exit(errors.report_unexpected(error, as_json=self.as_json)) from None

    def _usage(self, error: Any) -> int:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return errors.BAD_INPUT
        return errors.report_usage(error, as_json=self.as_json)


def _open_streams() -> None:
    """Mends what the caller may have left: a closed stream (`>&-`), or one without a buffer.

    Under PYTHONUNBUFFERED a text stream has no buffer below it, and drops without an error what a
    pipe that is being closed did not take.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))
        elif isinstance(getattr(stream, "buffer", None), io.RawIOBase):
            how = {"encoding": stream.encoding, "errors": stream.errors, "closefd": False}
            setattr(sys, name, open(stream.fileno(), "w", **how))


def _silence() -> None:
    """Points both streams at nothing, so that Python does not complain about them at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nothing, stream.fileno())


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mnist-arch {metadata.version('mnist-arch')}")
        raise typer.Exit


app = typer.Typer(
    name="mnist-arch",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=errors.EXIT_CODES_HELP,
)
app.command()(summary)
app.command()(train)
app.command("eval")(evaluate)
app.command()(sweep)


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Very small neural networks under hard budgets, with claims that hold up."""
