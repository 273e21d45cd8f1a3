"""`tandem-export evaluate`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem_export.cli.choices import INTS, Option
from tandem_export.cli.evaluation import tables
from tandem_export.cli.options import check_is_signed, common, running, verified
from tandem_export.cli.output import needs, print_json, print_tables, progress, waiting
from tandem_export.cli.places import PAIR_PLACE, kind_of

if TYPE_CHECKING:
    from tandem_export.measure import EvaluateOptions

# Of the bundle that is made of a checkpoint: what an evaluation calls, and no more.
_ROLES = ("prefill", "insert", "primary_block", "drafter_step", "round")
_PROMPT = 64


@click.command(
    epilog="""\b
Examples:
  tandem-export evaluate build/demo --text book.txt
  tandem-export evaluate demo:stdlib-mini --text module.py --tokens 1000
  tandem-export evaluate build/int8 --against CHECKPOINT --text conversations.jsonl --json"""
)
@click.argument("pair", metavar="DIR|CHECKPOINT", type=PAIR_PLACE)
@click.option(
    "--text",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="UTF-8 text, or conversations: .jsonl, an object with `messages` a line.",
)
@click.option(
    "--against",
    type=PAIR_PLACE,
    metavar="DIR|CHECKPOINT",
    help="A second pair, on the same tokens.",
)
@click.option("--block", "blocks", type=INTS, default="1,2,4,8", help="Block lengths.")
@click.option("--tokens", type=int, default=4096, help="Counted, from all over the text.")
@click.option("--window", type=int, default=256, help="Tokens read in one piece, at most.")
@click.option("--prompts", type=int, default=8, help="Answers of the loop; 0 leaves it out.")
@click.option("--max-new-tokens", type=int, default=64, help="Of these answers.")
@click.option("--gamma", type=int, help="Their longest draft.  [default: the largest up to 5]")
@click.option("--batch", type=int, help="Slots.  [default: the smallest bucket]")
@running
@verified
@common
def evaluate(
    pair: str,
    text: Path,
    against: str | None,
    verify_key: str | None,
    as_json: bool,
    **options: Option,
) -> None:
    """Measures how well a drafter guesses on a text: the paper's table.

    Accuracy and cross entropy against the text, agreement with the primary and total variation
    distance to it by block length, and acceptance by position in the real loop. A CHECKPOINT is
    built for the executor first, in a folder that is removed.
    """
    from tandem_export.measure import EvaluateOptions
    from tandem_export.measure import evaluate as measure

    wanted = EvaluateOptions(**options)
    places = [pair] if against is None else [pair, against]
    for place in places:
        check_is_signed(place, verify_key)
    with ExitStack() as stack:
        folders = [stack.enter_context(_as_bundle(p, wanted, quiet=as_json)) for p in places]
        report = stack.enter_context(progress(quiet=as_json))
        evaluations = measure(folders, text, wanted, progress=report, verify_key=verify_key)
    first, *other = [evaluation.to_dict() for evaluation in evaluations]
    if as_json:
        print_json(first | ({"against": other[0]} if other else {}))
    else:
        print_tables(*tables([first, *other]))


@contextmanager
def _as_bundle(place: str, options: EvaluateOptions, *, quiet: bool) -> Iterator[Path]:
    """Yields the folder of a bundle; a checkpoint is built, and its bundle removed at the end."""
    if kind_of(place) == "bundle":
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="tandem-export-") as folder, needs("build"):
        path = Path(place.removeprefix("demo:")).resolve()
        # A bundle is called after its folder.
        out = Path(folder, (path.parent if path.suffix == ".json" else path).name)
        with waiting(f"building {place}", quiet=quiet):
            _build(place, out, options)
        yield out


def _build(place: str, out: Path, options: EvaluateOptions) -> None:
    from tandem_export import targets
    from tandem_export.checkpoint import read_checkpoint
    from tandem_export.graphs import BuildOptions
    from tandem_export.runtime.executors import ExecutorSpec

    form = ExecutorSpec.parse(options.executor or "jax").form
    target = {"jax_export": "stablehlo"}.get(form, form)
    gamma = options.gamma or 5
    # Room for a window in whole blocks, and for a prompt, an answer and a draft.
    room = max(options.window, _PROMPT + options.max_new_tokens) + gamma + 1
    wanted = BuildOptions(
        batch=(options.batch or 1,),
        gamma=(gamma,),
        prompt=(min(_PROMPT, options.window),),
        cache=room,
        roles=_ROLES,
    )
    targets.build(read_checkpoint(place), wanted, out, targets=(target,), check_values=False)
