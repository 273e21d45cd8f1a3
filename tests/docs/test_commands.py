from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from tandem_export.cli import main
from tests.docs.pages import README, ROOT, commands, pages

CASES = [(page, command) for page in [README, *pages()] for command in commands(page)]


def test_there_are_commands() -> None:
    assert len(CASES) > 20


@pytest.mark.parametrize(
    ("page", "text"), CASES, ids=[f"{page.relative_to(ROOT)}: {text}" for page, text in CASES]
)
def test_commands_of_the_pages_exist_with_their_options(page: Path, text: str) -> None:
    words, context = shlex.split(text.replace("[", "").replace("]...", "").replace("]", "")), None
    command: click.Command = main
    while isinstance(command, click.Group):
        context = click.Context(command, parent=context)
        found = command.get_command(context, words[0])
        assert found is not None, f"{page.name}: no command {words[0]!r}"
        command, words = found, words[1:]
    parser = command.make_parser(click.Context(command, parent=context))
    try:
        parser.parse_args(words)
    except click.UsageError as error:
        pytest.fail(f"{page.name}: {text}: {error.format_message()}")


def _subcommands(group: click.Group, name: str) -> list[tuple[str, click.Command]]:
    """Every command below `group` that does something, with its name in full."""
    pairs = [(f"{name} {key}", command) for key, command in group.commands.items()]
    groups = [pair for pair in pairs if isinstance(pair[1], click.Group)]
    below = [pair for key, sub in groups for pair in _subcommands(sub, key)]  # type: ignore[arg-type]
    return [pair for pair in pairs if pair not in groups] + below


@pytest.mark.parametrize(("name", "command"), _subcommands(main, "tandem-export"))
def test_every_option_says_what_it_is(name: str, command: click.Command) -> None:
    options = [param for param in command.params if isinstance(param, click.Option)]
    silent = [o.opts[0] for o in options if not o.hidden and len((o.help or "").split()) < 2]
    assert silent == [], name
