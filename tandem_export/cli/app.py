"""The program: its commands, and how errors become one paragraph and an exit code.

Exit codes: 0 good, 1 a check failed, 2 bad input, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from tandem_export import __version__
from tandem_export.cli.choices import Option
from tandem_export.cli.commands.bench import bench
from tandem_export.cli.commands.bench_executors import bench_executors
from tandem_export.cli.commands.bench_load import bench_load
from tandem_export.cli.commands.bench_serving import bench_serving
from tandem_export.cli.commands.build import build
from tandem_export.cli.commands.checkpoint import checkpoint
from tandem_export.cli.commands.compile import compile
from tandem_export.cli.commands.evaluate import evaluate
from tandem_export.cli.commands.generate import generate
from tandem_export.cli.commands.import_ import import_
from tandem_export.cli.commands.inspect import inspect
from tandem_export.cli.commands.plan import plan
from tandem_export.cli.commands.serve import serve
from tandem_export.cli.commands.stand_in import stand_in
from tandem_export.cli.commands.verify import verify
from tandem_export.cli.options import COMMAND, DEBUG, JSON
from tandem_export.cli.output import print_json
from tandem_export.cli.signals import Terminated, end_process, signals_end_the_command
from tandem_export.cli.words import in_options
from tandem_export.errors import TandemError

BAD_INPUT, INTERRUPTED, TERMINATED = 2, 130, 143


class _Failure(click.ClickException):
    """An error whose text is for the user."""

    exit_code = BAD_INPUT


class _Program(click.Group):
    """A group whose errors are one paragraph on stderr; `--debug` lets them through."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except (TandemError, OSError, click.UsageError) as error:
            if ctx.meta.get(DEBUG) and not isinstance(error, click.UsageError):
                raise
            is_usage = isinstance(error, click.UsageError)
            text = error.format_message() if is_usage else _told(error, ctx)
            if ctx.meta.get(JSON):
                print_json({"error": {"type": type(error).__name__, "message": text}})
            raise _Failure(text) from error

    def main(self, args: Sequence[str] | None = None, **extra: Option) -> NoReturn:  # type: ignore[override]
        with signals_end_the_command():
            code = self._code(args, extra)
            if args is None and code in (INTERRUPTED, TERMINATED):
                end_process(code)
        sys.exit(code)

    def _code(self, args: Sequence[str] | None, extra: dict[str, Option]) -> int:
        """Runs the command; every end but a bug's has its exit code and its line on stderr."""
        try:
            extra["standalone_mode"] = False
            return super().main(args, **extra) or 0
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            return error.exit_code
        except click.ClickException as error:
            click.echo(f"Error: {error.format_message()}", err=True)
            return error.exit_code
        except click.Abort as error:
            ended = isinstance(error.__cause__, Terminated)
            click.echo("Terminated." if ended else "Interrupted.", err=True)
            return TERMINATED if ended else INTERRUPTED


def _told(error: Exception, ctx: click.Context) -> str:
    return in_options(str(error), ctx.meta.get(COMMAND))


@click.group(
    cls=_Program,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, prog_name="tandem-export")
def main() -> None:
    """Exports trained Tandem Transformers to bundles, runs, verifies and measures them."""


for _command in (
    import_,
    build,
    inspect,
    generate,
    serve,
    verify,
    evaluate,
    bench,
    bench_load,
    bench_serving,
    stand_in,
    bench_executors,
    plan,
    compile,
    checkpoint,
):
    main.add_command(_command)
