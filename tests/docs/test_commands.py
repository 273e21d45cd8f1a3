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
