"""The benchmark of the demo pair against its primary alone and the independent drafter.

    python benchmarks/run.py [--folder build] [options of bench]

Builds the bundles that are missing, then runs `tandem-export bench` with the baseline.
"""

from __future__ import annotations

from pathlib import Path

import click

from tandem_export.cli import main as program

BUNDLES = {"demo:stdlib-mini": "demo-bundle", "demo:stdlib-mini-independent": "demo-independent"}


def bundle(checkpoint: str, folder: Path) -> Path:
    """The bundle of a demo checkpoint, built if it is missing."""
    path = folder / BUNDLES[checkpoint]
    if not (path / "manifest.json").exists():
        _run("build", checkpoint, "--out", str(path))
    return path


def _run(*arguments: str) -> None:
    """One command of the program; its failure is this script's."""
    try:
        program(list(arguments))
    except SystemExit as end:
        if end.code:
            raise


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build"))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def main(folder: Path, options: tuple[str, ...]) -> None:
    """Builds the bundles in --folder if need be and runs the benchmark; OPTIONS go to `bench`."""
    tandem, independent = (bundle(checkpoint, folder) for checkpoint in BUNDLES)
    out = ("--out", str(folder / "bench.json"))
    cache = ("--compilation-cache", str(folder / "compiled"))
    _run("bench", str(tandem), "--baseline", str(independent), *out, *cache, *options)


if __name__ == "__main__":
    main()
