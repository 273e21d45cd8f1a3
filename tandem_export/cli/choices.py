"""Values that options choose from; they complete in the shell without loading an engine.

The lists here are the library's own, whose modules load an engine; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

# What click makes of an option, whose type says what that is.
Option = Any


TARGETS = ("stablehlo", "savedmodel", "onnx")
DTYPES = ("float32", "bfloat16")
ATTENTION = ("in_cache", "two_part", "kernel")
LOSSLESS = ("exact", "numeric")
PLATFORMS = ("cpu", "tpu")
MODES = ("speed", "router", "standalone", "standalone_free", "primary", "drafter")
RULES = ("leviathan", "gumbel")
DRIVERS = ("fused", "steps")
FAMILIES = ("primary", "speed", "router", "standalone", "baseline")
EXECUTORS = (
    *("jax", "onnxruntime", "onnxruntime:mapped", "openvino", "openvino:mapped"),
    *("openvino:bfloat16", "openvino:bfloat16+mapped", "tensorflow", "tf-serving:"),
)
PRESETS = ("270m", "2b", "8b")
CHIPS = ("v5e-1", "v5e-4", "v5e-8")


class CommaList(click.ParamType):
    """Values with commas between them, as a tuple: `1,4`."""

    def __init__(
        self, kind: Callable[[str], Option], what: str, example: str, known: Sequence[str] = ()
    ) -> None:
        self.kind, self.what, self.example, self.known = kind, what, example, known
        self.name = what

    def convert(
        self, value: Option, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Option, ...]:
        """Returns the values; a tuple, as a default is, stays what it is."""
        if isinstance(value, tuple):
            return value
        try:
            values = tuple(self.kind(piece.strip()) for piece in value.split(","))
        except ValueError:
            rule = f"must be {self.what} with commas between them, such as {self.example}"
            self.fail(f"{rule}. Got: {value!r}", param, ctx)
        unknown = [each for each in values if self.known and each not in self.known]
        if unknown:
            self.fail(f"must be some of {', '.join(self.known)}. Got: {unknown[0]!r}", param, ctx)
        return values

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Returns the example, in the help text."""
        return self.example

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Returns the known values, each after what precedes the last comma."""
        before, comma, last = incomplete.rpartition(",")
        return [
            CompletionItem(before + comma + each) for each in self.known if each.startswith(last)
        ]


class Suggested(click.ParamType):
    """Any text; some are known."""

    name = "text"

    def __init__(self, known: Sequence[str], metavar: str) -> None:
        self.known, self.metavar = known, metavar

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Returns what the text is, in the help text."""
        return self.metavar

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Returns the known texts, and files where there may be one."""
        items = [CompletionItem(each) for each in self.known if each.startswith(incomplete)]
        return (
            [*items, CompletionItem(incomplete, type="file")] if "FILE" in self.metavar else items
        )


def _word(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def words(example: str, known: Sequence[str] = ()) -> CommaList:
    """Returns the type of a list of names; any names where none are `known`."""
    return CommaList(_word, "names", example, known)


INTS = CommaList(int, "whole numbers", "1,4")
FLOATS = CommaList(float, "numbers", "0.3,0.5")
EXECUTOR = Suggested(EXECUTORS, "EXECUTOR")
PAIR = Suggested(PRESETS, "PRESET|FILE|CHECKPOINT")
