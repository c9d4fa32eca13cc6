"""The program: its commands, and the one place where errors become text and exit codes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Annotated, Any, Final, NoReturn

from . import heavy_imports

with heavy_imports():
    import typer

    from mnist_arch.errors import MnistArchError

    from . import errors
    from .consoles import write_data
    from .help import Command, Group
    from .streams import mend_streams, silence

_COMMANDS: Final = {
    "summary": "summary.command:summary",
    "train": "train.command:train",
    "eval": "evaluate.command:evaluate",
    "sweep": "sweep.command:sweep",
    "audit": "audit.command:audit",
    "check": "check.command:check",
    "import": "importing.command:import_",
    "report": "report.command:report",
    "predict": "predict.command:predict",
    "export": "export.command:export",
    "play": "play.command:play",
    "runs": "runs.command:app",
    "zoo": "zoo.command:app",
}
"""Module and function of each command, or the Typer of a group, in the order of the help."""


class Commands(Mapping[str, Any]):
    """Each command by its name, imported when it is asked for, since a start needs one of them."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            module, _, function = _COMMANDS[name].partition(":")
            with heavy_imports():
                found = getattr(importlib.import_module(f".{module}", __package__), function)
            if not isinstance(found, typer.Typer):
                alone = typer.Typer(add_completion=False)
                alone.command(cls=Command)(found)
                found = alone
            self._made[name] = typer.main.get_command(found)
            self._made[name].name = name
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)


class CommandGroup(Group):
    """The error boundary. `main` is what the console script and the tests both call."""

    as_json = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = Commands()  # type: ignore[assignment]  # which is only read

    # Typer's own `main` names each option; here they are passed on as they come.
    def main(self, args: Sequence[str] | None = None, **options: Any) -> NoReturn:  # type: ignore[override]
        mend_streams()
        arguments = list(sys.argv[1:] if args is None else args)
        self.as_json = "--json" in arguments
        options["standalone_mode"] = False  # else Typer prints usage errors in its own way
        code = self._run(arguments, options)
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            code = errors.PIPE_CLOSED
            silence(sys.stdout)
        except OSError as error:
            if code in (errors.DONE, errors.ANSWER_IS_NO):  # else there is another to report
                code = errors.report_unexpected(error, as_json=self.as_json)
            silence(sys.stdout)
        sys.exit(code)

    def _run(self, arguments: list[str], options: dict[str, Any]) -> int:
        try:
            code = super().main(arguments, **options)
        except errors.UsageError as error:
            return self._usage(error, arguments)
        except SystemExit as error:  # how Rich and Typer leave when the reader has closed the pipe
            if not isinstance(error.__context__, BrokenPipeError):
                raise
            silence(sys.stdout)
            return errors.PIPE_CLOSED
        except OSError as error:  # of --help and --version, which are printed before `invoke`
            return errors.report_unexpected(error, as_json=self.as_json)
        return code if isinstance(code, int) else errors.DONE

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MnistArchError as error:
            raise typer.Exit(errors.report(error, as_json=self.as_json)) from None
        except (errors.Interrupted, KeyboardInterrupt) as error:
            stop = error if isinstance(error, errors.Interrupted) else errors.Interrupted()
            raise typer.Exit(errors.report_interrupt(stop, as_json=self.as_json)) from None
        except BrokenPipeError:
            silence(sys.stdout)
            raise typer.Exit(errors.PIPE_CLOSED) from None
        except (typer.Exit, typer.Abort, errors.UsageError):
            raise
        except Exception as error:
            raise typer.Exit(errors.report_unexpected(error, as_json=self.as_json)) from None

    def _usage(self, error: Any, arguments: list[str]) -> int:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return errors.BAD_INPUT
        return errors.report_usage(error, arguments, as_json=self.as_json)


def _version(ctx: typer.Context, wanted: bool) -> None:
    """`--verbose` is eager and this is not, so that either may stand first."""
    if not wanted:
        return
    if ctx.params["verbose"]:
        from mnist_arch.verbs.about import about

        lines = about()
        width = max(map(len, lines))
        write_data("".join(f"{name:<{width}}  {text}\n" for name, text in lines.items()))
    else:
        write_data(f"mnist-arch {metadata.version('mnist-arch')}\n")
    raise typer.Exit


app = typer.Typer(
    name="mnist-arch",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=errors.EXIT_CODES_HELP,
)


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, help="Print the version.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            is_eager=True,
            help="With --version: also versions of libraries, device, engine and data.",
        ),
    ] = False,
) -> None:
    """Very small neural networks under hard budgets, with claims that hold up."""
