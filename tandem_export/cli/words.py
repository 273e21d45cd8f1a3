"""Errors of the library in the words of the command line."""

from __future__ import annotations

import re

import click

_NAME = re.compile(r"`([a-z_]+)(=True)?`")
# An error inside a file, whose text names what is in the file.
_IN_A_FILE = re.compile(r"`[^`]*`: ")


def in_options(text: str, command: click.Command | None) -> str:
    """Returns `text` with the names of `command`'s parameters as its options.

    "`top_k` must be ..." becomes "`--top-k` must be ...". A text that begins with a file's name is
    left as it is: what it names stands in that file.
    """
    if command is None or _IN_A_FILE.match(text):
        return text
    accepted = [param for param in command.params if isinstance(param, click.Option)]
    options = {param.name: _longest(param) for param in accepted}
    options |= {
        _longest(param).lstrip("-").replace("-", "_"): _longest(param) for param in accepted
    }

    def option(match: re.Match[str]) -> str:
        return f"`{options[match[1]]}`" if match[1] in options else match[0]

    return _NAME.sub(option, text)


def _longest(param: click.Option) -> str:
    return max(param.opts, key=len)
