"""`demo:NAME` stands for a checkpoint that comes with the package."""

from __future__ import annotations

from pathlib import Path

from tandem_export.errors import CheckpointError

PREFIX = "demo:"
DEMOS = {
    "stdlib-mini": "stdlib_mini/tandem.json",
    "stdlib-mini-independent": "stdlib_mini/independent.json",
}


def demo_path(name: str) -> Path:
    """Returns the JSON file of the demo checkpoint `demo:NAME`.

    Args:
      name: the whole name, `demo:` included.

    Raises:
      CheckpointError: there is no such demo; the text lists those that exist.
    """
    relative = DEMOS.get(name.removeprefix(PREFIX))
    if relative is None:
        known = ", ".join(PREFIX + demo for demo in DEMOS)
        raise CheckpointError(
            f"there is no such demo checkpoint; there are: {known}. Got: {name!r}"
        )
    return Path(__file__).parent / relative
