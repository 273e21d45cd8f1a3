"""Parameter types and options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from click.core import ParameterSource

from tandem_export.cli.choices import EXECUTOR, Option
from tandem_export.cli.places import kind_of
from tandem_export.errors import ConfigError

if TYPE_CHECKING:
    from tandem_export.runtime.executors import ExecutorSpec

JSON, DEBUG, COMMAND = "tandem_export.json", "tandem_export.debug", "tandem_export.command"
Function = TypeVar("Function", bound=Callable[..., object])


def _remember(key: str) -> Callable[[click.Context, click.Parameter, bool], bool]:
    def keep(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
        del param
        ctx.meta[key], ctx.meta[COMMAND] = value, ctx.command
        return value

    return keep


def common(function: Function) -> Function:
    """Adds `--json` (the parameter `as_json`) and `--debug`, which commands never see."""
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


def verified(function: Function) -> Function:
    """Adds `--verify-key`: the signature is checked before anything else of a bundle is read."""
    return click.option(
        "--verify-key",
        metavar="KEY",
        help="Ask for the signature of this minisign public key: its file, or the text in it.",
    )(function)


def running(function: Function) -> Function:
    """Adds the options of commands that run a bundle; the parameters are those of `load`."""
    executor = click.option(
        "--executor",
        type=EXECUTOR,
        help="jax, onnxruntime[:mapped], openvino[:mapped|:bfloat16|:bfloat16+mapped], tensorflow "
        "or tf-serving:ADDRESS.  [default: one that the bundle has graphs for]",
    )
    cache = click.option(
        "--compilation-cache",
        type=click.Path(file_okay=False, path_type=Path),
        help="A folder that keeps compiled graphs between runs.",
    )
    return executor(threads(cache(expired(function))))


def threads(function: Function) -> Function:
    """Adds `--threads`."""
    return click.option(
        "--threads",
        type=click.IntRange(1),
        metavar="COUNT",
        help="Of onnxruntime and openvino.  [default: all cores]",
    )(function)


def expired(function: Function) -> Function:
    """Adds `--allow-expired`."""
    return click.option(
        "--allow-expired", is_flag=True, help="Run a bundle that has passed its date."
    )(function)


def check_is_signed(place: str, verify_key: str | None) -> None:
    """Refuses a key for what is no bundle: nothing else is signed.

    Raises:
      ConfigError: there is a key, and `place` is a checkpoint, a preset or a file.
    """
    if verify_key is not None and kind_of(place) != "bundle":
        rule = "--verify-key asks for the signature of a bundle, which this is not"
        raise ConfigError(f"{rule}. Got: {place!r}")


def pick_executor(bundle: Path, executor: str | None, verify_key: str | None) -> ExecutorSpec:
    """Returns what `executor` names, or one that the bundle, which is signed, has graphs for."""
    from tandem_export.runtime.executors import ExecutorSpec, default_executor

    return (
        default_executor(bundle, verify_key) if executor is None else ExecutorSpec.parse(executor)
    )


def prompts_file(function: Function) -> Function:
    """Adds `--prompts-file`, see `read_prompts`."""
    return click.option(
        "--prompts-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A JSON list of prompts: texts, or lists of token ids.",
    )(function)


def renamed_option(
    new: str, old: str, name: str, **settings: Option
) -> Callable[[Function], Function]:
    """Adds an option as `new`; its `old` name works for one release, hidden and with a warning.

    Given under both names, the new one wins.
    """
    key = f"tandem_export.renamed{old}"

    def remember(ctx: click.Context, param: click.Parameter, value: Option) -> None:
        if ctx.get_parameter_source(param.name or "") != ParameterSource.DEFAULT:
            ctx.meta[key] = value
            click.echo(f"{old} is now {new}; the old name goes with the next release.", err=True)

    def choose(ctx: click.Context, param: click.Parameter, value: Option) -> Option:
        is_default = ctx.get_parameter_source(param.name or "") == ParameterSource.DEFAULT
        return ctx.meta.get(key, value) if is_default else value

    def decorate(function: Function) -> Function:
        hidden = click.option(
            old,
            f"old_{name}",
            **settings | {"help": None, "hidden": True},
            is_eager=True,  # before the new one, which takes its value
            expose_value=False,
            callback=remember,
        )
        return click.option(new, name, **settings, callback=choose)(hidden(function))

    return decorate
