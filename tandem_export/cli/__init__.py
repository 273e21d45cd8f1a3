"""Parses a command line, calls one library function, prints; see `docs/reference/cli.md`."""

from tandem_export.cli.app import main

__all__ = ["main"]
