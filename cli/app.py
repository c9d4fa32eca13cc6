"""The program: its commands, and the one place where errors become text and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from cli import errors
from cli.evaluate import evaluate
from cli.summary import summary
from cli.train import train
from mnist_arch.errors import MnistArchError


class Group(TyperGroup):
    """The error boundary. `main` is what the console script and the tests both call."""

    as_json = False

    def main(self, args: Sequence[str] | None = None, **options: Any) -> NoReturn:  # type: ignore[override]
        arguments = list(sys.argv[1:] if args is None else args)
        self.as_json = "--json" in arguments
        options["standalone_mode"] = False  # else Typer prints usage errors in its own way
        try:
            code = super().main(arguments, **options)
        except errors.UsageError as error:
            code = self._usage(error)
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
            _silence(sys.stdout)
            raise typer.Exit(errors.PIPE_CLOSED) from None
        except (typer.Exit, typer.Abort, errors.UsageError):
            raise
        except Exception as error:
            raise typer.Exit(errors.report_bug(error, as_json=self.as_json)) from None

    def _usage(self, error: Any) -> int:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return errors.BAD_INPUT
        return errors.report_usage(error, as_json=self.as_json)


def _silence(stream: Any) -> None:
    """Points a closed pipe at nothing, so that Python does not complain about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Very small neural networks under hard budgets, with claims that hold up."""
