"""What a reader types from the README, the quickstart and the how-to pages, block by block."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import FOLLOWED, ROOT, Block, Command, blocks, unfenced
from tests.docs.sandbox import Sandbox, fill

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# A number that stands alone is measured; one in a name, such as P0 or round_b1_g5, is not.
_NUMBER = re.compile(r"(?<![\w.])[0-9][0-9.,]*")
_FRAMES = re.compile(r"[\s━─┏┓┗┛┡┩╇┳┻┃│┌┐└┘├┤┬┴┼]+")
MOST_NOT_RUN = 10
# Their commands build, serve and verify for most of a minute each; the others take seconds.
LONG = ("README.md", "docs/quickstart.md", "docs/how-to/evaluate.md", "docs/how-to/tf-serving.md")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Makes `folder` the current one; tables are as wide as the pages show them."""
    before, columns = Path.cwd(), os.environ.get("COLUMNS")
    os.chdir(folder)
    os.environ["COLUMNS"] = "80"
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)


def _case(page: Path) -> object:
    """A page, marked if it takes long."""
    marks = [pytest.mark.slow] if _name(page) in LONG else []
    return pytest.param(page, id=_name(page), marks=marks)


@pytest.mark.parametrize("page", map(_case, FOLLOWED))
def test_a_page_can_be_followed(page: Path, tmp_path: Path) -> None:
    fill(tmp_path, _name(page))
    sandbox, names = Sandbox(), {}
    with _inside(tmp_path):
        try:
            for block in blocks(page):
                if block.reason is None:
                    _follow(block, sandbox, names)
        finally:
            sandbox.close()


def _follow(block: Block, sandbox: Sandbox, names: dict[str, object]) -> None:
    if block.language == "python":
        lines = "\n" * (block.line - 1) + sandbox.here(block.text)
        exec(compile(lines, block.page, "exec"), names)
        return
    for command in block.commands():
        _type(block, command, sandbox)


def _type(block: Block, command: Command, sandbox: Sandbox) -> None:
    """Runs a command of the program; looks at what `make` and `pip install` name."""
    words = shlex.split(sandbox.here(command.words))
    match words:
        case ["tandem-export", "stand-in", bundle]:
            sandbox.serve(Path(bundle))
        case ["tandem-export" | ".venv/bin/tandem-export", *rest]:
            result = sandbox.run(rest)
            assert result.exit_code == 0, f"{block.name}: {command.words}\n{result.output}"
            _compare(block, command, result.output)
        case ["make", *targets]:
            assert all(_is_target(target) for target in targets), f"{block.name}: {targets}"
        case ["pip", "install", requirement]:
            extras = re.search(r"\[(.*)\]", requirement)
            assert extras and set(extras[1].split(",")) <= EXTRAS["optional-dependencies"].keys()
        case _:
            pytest.fail(f"{block.name}: the tests cannot run `{command.words}`")


def _is_target(name: str) -> bool:
    return re.search(rf"^{name}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE) is not None


def _compare(block: Block, command: Command, output: str) -> None:
    """Each line that the page shows must come, in this order; measured numbers may differ."""
    left = iter(map(_stable, output.replace(f"{Path.cwd()}/", "").splitlines()))
    for line in filter(None, map(_stable, command.output.splitlines())):
        assert line in left, f"{block.name}: `{command.words}` does not write {line!r}\n{output}"


def _stable(line: str) -> str:
    return _NUMBER.sub("N", _FRAMES.sub(" ", line)).strip()


@pytest.mark.parametrize("page", FOLLOWED, ids=_name)
def test_every_command_stands_in_a_block_that_runs(page: Path) -> None:
    assert unfenced(page) == []


def test_what_is_not_run_is_little_and_says_why() -> None:
    reasons = {b.name: b.reason for p in FOLLOWED for b in blocks(p) if b.reason is not None}
    print(*(f"{name}: {reason}" for name, reason in reasons.items()), sep="\n")
    assert len(reasons) <= MOST_NOT_RUN
    assert all(len(reason.split()) >= 4 for reason in reasons.values())


def test_no_marker_is_lost() -> None:
    """A comment that does not stand right before a block would mark nothing."""
    for page in FOLLOWED:
        marked = [block for block in blocks(page) if block.reason is not None]
        assert page.read_text("utf-8").count("<!-- not run") == len(marked), page
