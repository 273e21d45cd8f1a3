"""Parameter types and options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

JSON, DEBUG = "tandem_export.json", "tandem_export.debug"
Function = TypeVar("Function", bound=Callable[..., Any])


class CommaList(click.ParamType):
    """Values with commas between them, as a tuple: `1,4`."""

    def __init__(self, kind: Callable[[str], Any], what: str, example: str) -> None:
        self.kind, self.what, self.example = kind, what, example
        self.name = what

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """The values; a tuple, as a default is, stays what it is."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.kind(piece.strip()) for piece in value.split(","))
        except ValueError:
            rule = f"must be {self.what} with commas between them, such as {self.example}"
            self.fail(f"{rule}. Got: {value!r}", param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The example, in the help text."""
        return self.example


def _word(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


INTS = CommaList(int, "whole numbers", "1,4")
FLOATS = CommaList(float, "numbers", "0.3,0.5")
WORDS = CommaList(_word, "names", "round,insert")
BUNDLE = click.argument(
    "bundle", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)


def _remember(key: str) -> Callable[[click.Context, click.Parameter, bool], bool]:
    def keep(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
        del param
        ctx.meta[key] = value
        return value

    return keep


def common(function: Function) -> Function:
    """`--json` (the parameter `as_json`) and `--debug`, which the command itself never sees."""
    debug = click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_remember(DEBUG),
        help="Show the whole traceback of an error.",
    )
    as_json = click.option(
        "--json",
        "as_json",
        is_flag=True,
        is_eager=True,
        callback=_remember(JSON),
        help="Print one JSON object on stdout and nothing else there.",
    )
    return as_json(debug(function))


def running(function: Function) -> Function:
    """Options of commands that run a bundle; the parameters are those of `load`."""
    executor = click.option(
        "--executor",
        default="jax",
        show_default=True,
        help="jax, onnxruntime[:mapped], openvino[:mapped|:bfloat16|:bfloat16+mapped], tensorflow "
        "or tf-serving:ADDRESS.",
    )
    cache = click.option(
        "--compilation-cache",
        type=click.Path(file_okay=False, path_type=Path),
        help="A folder that keeps compiled graphs between runs.",
    )
    expired = click.option(
        "--allow-expired", is_flag=True, help="Run a bundle that has passed its date."
    )
    threads = click.option(
        "--threads", type=int, help="Of onnxruntime and openvino.  [default: all cores]"
    )
    return executor(threads(cache(expired(function))))


def prompts_file(function: Function) -> Function:
    """`--prompts-file`: see `read_prompts`."""
    return click.option(
        "--prompts-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A JSON list of prompts: texts, or lists of token ids.",
    )(function)
