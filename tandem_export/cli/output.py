"""What commands print: JSON on stdout, tables on stdout, progress on stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich import progress as bars
from rich.console import Console, RenderableType

from tandem_export.cli.tables import FittedTable
from tandem_export.errors import ConfigError, RequestError
from tandem_export.jsontypes import Json
from tandem_export.progress import Progress
from tandem_export.storage import read_json

# A table that goes to a file or a pipe is not cut to a terminal's width.
_PLAIN_WIDTH = 160
_SECONDS = 5  # between lines of progress


def print_json(value: Json) -> None:
    """Prints one JSON object on stdout."""
    click.echo(json.dumps(value, indent=1))


def print_tables(*tables: RenderableType, to_stderr: bool = False) -> None:
    """Prints tables, as wide as they need to be where no terminal limits them."""
    console = Console(stderr=to_stderr, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=to_stderr, highlight=False, width=_PLAIN_WIDTH)
    for table in tables:
        console.print(table)


def make_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> FittedTable:
    """Returns a table under its title; column names that begin with `>` are set to the right."""
    return FittedTable(title=title, columns=columns, rows=rows)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """Shows a bar on stderr, or lines where there is no terminal; nothing when `quiet`."""
    console = Console(stderr=True)
    if not (quiet or console.is_terminal):
        yield _lines()
        return
    columns = (*bars.Progress.get_default_columns(), bars.TimeElapsedColumn())
    with bars.Progress(*columns, console=console, disable=quiet, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def report(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield report


def _lines() -> Progress:
    """Writes the first step and the last, and no more than one line in `_SECONDS` between."""
    due = 0.0

    def report(done: int, total: int, what: str) -> None:
        nonlocal due
        if time.monotonic() >= due or done == total:
            click.echo(f"{done} of {total}: {what}", err=True)
            due = time.monotonic() + _SECONDS

    return report


@contextmanager
def waiting(what: str, *, quiet: bool) -> Iterator[None]:
    """Shows a spinner on stderr while the block runs, or one line where there is no terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        if not quiet:
            click.echo(what, err=True)
        yield
        return
    with console.status(what):
        yield


def print_next(*commands: str) -> None:
    """Prints the commands that come next, on stdout."""
    click.echo("Next:")
    for command in commands:
        click.echo(f"  tandem-export {command}")


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turns a missing package into a hint which extra brings it.

    Raises:
      ConfigError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        hint = f"Install it: pip install 'tandem-export[{extra}]'"
        raise ConfigError(f"this command needs the package {error.name!r}. {hint}") from error


def read_prompts(file: Path | None) -> list[Json] | None:
    """Reads prompts from a JSON file: texts, or lists of token ids; None without a file.

    Raises:
      RequestError: it is not such a list.
    """
    if file is None:
        return None
    prompts = read_json(file, error=RequestError)
    if not isinstance(prompts, list) or not all(_is_prompt(prompt) for prompt in prompts):
        rule = "a JSON list of texts, or of lists of token ids"
        raise RequestError(f"`{file}` must be {rule}. Got: {str(prompts)[:60]}")
    return prompts


def _is_prompt(value: Json) -> bool:
    ids = isinstance(value, list) and all(type(token) is int for token in value)
    return isinstance(value, str) or ids


def size(count: float | None) -> str:
    """Returns bytes for people, such as 1.5 MB; a dash where there are none to tell."""
    if count is None:
        return "-"
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "B" else f"{count} B"
        count /= 1000
    return f"{count:.3g} GB"


def percentages(shares: Sequence[float]) -> str:
    """Shares as `91 74 60 %`; `-` for none."""
    return " ".join(f"{share:.0%}".removesuffix("%") for share in shares) + " %" if shares else "-"
