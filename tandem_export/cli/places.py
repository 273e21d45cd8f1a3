"""Arguments that are a bundle or a checkpoint: what else lies there is named as what it is."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from tandem_export.cli.choices import Option

_WEIGHTS = (".safetensors", ".npz", ".pt", ".pth", ".bin", ".gguf")


def kind_of(path: str) -> str | None:
    """Returns `bundle`, `checkpoint`, `weights` (to be imported), or None for anything else."""
    place = Path(path)
    if path.startswith("demo:") or (place / "tandem.json").is_file():
        return "checkpoint"
    if (place / "manifest.json").is_file():
        return "bundle"
    if (place / "config.json").is_file() or place.suffix in _WEIGHTS:
        return "weights"
    return None


class BundlePath(click.Path):
    """The folder of a bundle."""

    def __init__(self) -> None:
        super().__init__(exists=True, file_okay=False, path_type=Path)

    def convert(
        self, value: Option, param: click.Parameter | None, ctx: click.Context | None
    ) -> Option:
        """Returns the path; what does not look like a bundle is refused with the right command."""
        kind = kind_of(str(value))
        if kind == "checkpoint":
            hint = f"Make a bundle of it: tandem-export build {value} --out DIR"
            self.fail(f"{str(value)!r} is a checkpoint, and this command takes a bundle. {hint}")
        if kind == "weights":
            self.fail(f"{_is_weights(value)}, and this command takes a bundle. {_import(value)}")
        return super().convert(value, param, ctx)


class CheckpointPath(click.ParamType):
    """A checkpoint: a folder, its JSON file, or a demo's name."""

    name = "checkpoint"

    def convert(
        self, value: Option, param: click.Parameter | None, ctx: click.Context | None
    ) -> Option:
        """Returns the text as it is; what is no checkpoint by its look is refused with a hint."""
        kind = kind_of(str(value))
        if kind == "bundle":
            hint = "It was built already: pass it to generate, verify, bench or inspect"
            self.fail(f"{str(value)!r} is a bundle, and this command takes a checkpoint. {hint}")
        if kind == "weights":
            self.fail(
                f"{_is_weights(value)}, and this command takes a checkpoint. {_import(value)}"
            )
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Returns the demos, and files."""
        from tandem_export.data import DEMOS, PREFIX

        demos = [PREFIX + name for name in DEMOS if (PREFIX + name).startswith(incomplete)]
        items = [CompletionItem(demo) for demo in demos]
        return [*items, CompletionItem(incomplete, type="file")]


class PairPlace(click.ParamType):
    """The folder of a bundle, or a checkpoint as `CheckpointPath` takes it."""

    name = "pair"

    def convert(
        self, value: Option, param: click.Parameter | None, ctx: click.Context | None
    ) -> Option:
        """Returns the text as it is; weights of another form are refused with a hint."""
        if kind_of(str(value)) == "weights":
            rule = "and this command takes a bundle or a checkpoint"
            self.fail(f"{_is_weights(value)}, {rule}. {_import(value)}")
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Returns the demos, and files."""
        return CHECKPOINT.shell_complete(ctx, param, incomplete)


def _is_weights(value: Option) -> str:
    return f"{str(value)!r} holds weights of another form"


def _import(value: Option) -> str:
    """Returns the command that makes a checkpoint of these weights."""
    is_native = Path(value).suffix in _WEIGHTS and Path(value).suffix != ".gguf"
    rest = "--config pair.toml --map names.toml" if is_native else "--drafter PATH"
    page = " (docs/how-to/own-weights.md)" if is_native else ""
    return f"Make a checkpoint of it: tandem-export import {value} {rest} --out DIR{page}"


BUNDLE = click.argument("bundle", metavar="DIR", type=BundlePath())
CHECKPOINT = CheckpointPath()
PAIR_PLACE = PairPlace()
