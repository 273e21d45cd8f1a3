"""Reads the documentation's pages: their links, headings and console commands."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


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


def blocks(page: Path, language: str) -> list[str]:
    """Code blocks of a page in one language."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return pattern.findall(page.read_text("utf-8"))


def commands(page: Path) -> list[str]:
    """The `tandem-export` commands in a page's console blocks and indented blocks, joined lines."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    line = re.compile(r"^(?:\$ |    )(?:\.venv/bin/)?tandem-export +([a-z].*)$", re.MULTILINE)
    return [re.sub(r"\s+", " ", words.partition(" #")[0]).strip() for words in line.findall(text)]
