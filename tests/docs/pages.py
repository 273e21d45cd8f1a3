"""Reads the documentation's pages: links, headings, blocks of commands and of Python."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
# The pages that a reader follows with the keyboard.
FOLLOWED = [README, DOCS / "quickstart.md", *sorted((DOCS / "how-to").glob("*.md"))]
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?"
    r"```(?P<language>console|sh|python)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
_INDENTED = re.compile(r"^ +(?:\.venv/bin/)?tandem-export +[a-z]", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_COMMENT = re.compile(r" +# .*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command of a page, its lines joined, and the output that the page shows after it."""

    words: str
    output: str


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of console commands, of shell commands or of Python.

    Attributes:
      page: where it stands.
      line: the first line of its text, from 1.
      language: `console` (commands after `$ `, with output), `sh` (commands only) or `python`.
      text: what is between the fences.
      reason: why the tests do not run it, from the comment before it; None: they do.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def name(self) -> str:
        """Page and line, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[Command]:
        """The commands of a console or shell block."""
        text = self.text.replace("\\\n", " ")
        if self.language == "console":
            pieces = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
            pairs = [piece.partition("\n") for piece in pieces]
        else:
            lines = [line for line in text.splitlines() if line and not line.startswith("#")]
            pairs = [(line, "", "") for line in lines]
        return [Command(words=_COMMENT.sub("", w).strip(), output=out) for w, _, out in pairs]


def pages() -> list[Path]:
    """Every page of the site."""
    return sorted(DOCS.rglob("*.md"))


def links(page: Path) -> list[tuple[Path, str]]:
    """Links of a page to files: their path, and the anchor or ''; addresses are left out."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    targets = [target for target in _LINK.findall(text) if "://" not in target]
    split = [target.partition("#") for target in targets]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in split]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as the site and GitHub make them."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    titles = [re.sub(r"[`*]|\]\(.*?\)|\[", "", title) for title in _HEADING.findall(text)]
    return {re.sub(r"[^\w\- ]", "", t.lower()).strip().replace(" ", "-") for t in titles}


def blocks(page: Path) -> list[Block]:
    """Blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start("text")) + 1,
            language=match["language"],
            text=match["text"],
            reason=match["reason"],
        )
        for match in _BLOCK.finditer(text)
    ]


def unfenced(page: Path) -> list[str]:
    """Lines that are commands of the program and stand in no fenced block."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    return [text[match.start() :].partition("\n")[0] for match in _INDENTED.finditer(text)]


def commands(page: Path) -> list[str]:
    """The commands of the program that a page shows, in fenced blocks and indented ones."""
    fenced = [command.words for block in blocks(page) for command in _of(block)]
    indented = [textwrap.dedent(_COMMENT.sub("", line)) for line in unfenced(page)]
    program = re.compile(r"^(?:\.venv/bin/)?tandem-export +")
    lines = [line for line in [*fenced, *indented] if program.match(line)]
    return [re.sub(r"\s+", " ", program.sub("", line)).strip() for line in lines]


def _of(block: Block) -> list[Command]:
    return [] if block.language == "python" else block.commands()
