"""The command line: parses, calls one library function, prints. `docs/cli.md` describes it."""

from tandem_export.cli.app import main

__all__ = ["main"]
