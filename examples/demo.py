"""What the demo bundle does: text, speed, acceptance, and the parity level that it holds.

python examples/demo.py build/demo-bundle
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

import tandem_export
from tandem_export.measure import BenchOptions, Table, bench
from tandem_export.parity import VerifyOptions, verify

PROMPTS = (
    "def add(a, b):\n",
    "class Stack:\n    def __init__(self):\n",
    "import os\n\ndef read_lines(path):\n",
)


def write_code(bundle: Path, cache: str) -> None:
    """Prints each prompt and what the model makes of it, as it comes."""
    engine = tandem_export.load(bundle, compilation_cache=cache)
    params = tandem_export.SamplingParams(max_new_tokens=80)
    for prompt in PROMPTS:
        click.echo(prompt, nl=False)
        engine.generate(prompt, params, on_delta=lambda delta: click.echo(delta.text, nl=False))
        click.echo("\n" + "-" * 60)


def compare(bundle: Path, cache: str) -> Table:
    """SPEED and the primary alone, alternating, batch 1."""
    options = BenchOptions(
        batch=(1,),
        families=("speed",),
        prompts=6,
        max_new_tokens=48,
        repetitions=3,
        startup=False,
        compilation_cache=cache,
    )
    return bench(bundle, options).tables[0]


def print_speed(table: Table) -> None:
    """The fastest SPEED candidate over the fastest primary alone."""
    speed, alone = table.best("speed"), table.best("primary")
    assert speed is not None and alone is not None
    click.echo(
        f"{speed.name}: {speed.tokens_per_second:.0f} tokens/s; {alone.name}, alone: "
        f"{alone.tokens_per_second:.0f} tokens/s; speed-up {speed.speed_up:.2f}"
    )
    places = " ".join(f"{i}: {share:.0%}" for i, share in enumerate(speed.acceptance_at, 1))
    click.echo(f"acceptance by position: {places}; {speed.mean_accepted:.2f} drafts a round")


def print_parity(bundle: Path, cache: str) -> bool:
    """A small verification; `tandem-export verify` covers every bucket."""
    options = VerifyOptions(
        prompts=4, batch=(1,), gamma=(5,), samples=1000, compilation_cache=cache
    )
    report = verify(bundle, options)
    click.echo(f"{report.parity} exact: {'verified' if report.passed else 'NOT verified'}")
    return report.passed and report.parity == "P0"


@click.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.pass_context
def main(ctx: click.Context, bundle: Path) -> None:
    """Shows the demo BUNDLE; exit code 1 if it does not hold P0."""
    with tempfile.TemporaryDirectory() as cache:
        write_code(bundle, cache)
        print_speed(compare(bundle, cache))
        exact = print_parity(bundle, cache)
    ctx.exit(0 if exact else 1)


if __name__ == "__main__":
    main()
