"""`tandem-export generate`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem_export.cli.choices import DRIVERS, MODES, RULES, Option
from tandem_export.cli.options import common, pick_executor, running, verified
from tandem_export.cli.output import (
    make_table,
    needs,
    percentages,
    print_json,
    print_tables,
    waiting,
)
from tandem_export.cli.places import BUNDLE
from tandem_export.errors import RequestError
from tandem_export.jsontypes import JsonObject

if TYPE_CHECKING:
    from tandem_export.cli.tables import FittedTable
    from tandem_export.runtime import ChatTemplate, Delta, Engine, Result


@click.command(
    epilog="""\b
Examples:
  tandem-export generate build/demo "def add(a, b):"
  cat start.py | tandem-export generate build/demo - --max-new-tokens 200
  tandem-export generate DIR "Why is the sky blue?" --chat --system "Answer in one sentence."
  tandem-export generate build/demo "import os" --temperature 0.8 --seed 1 --rule gumbel
  tandem-export generate build/demo "import os" --html answer.html"""
)
@BUNDLE
@click.argument("prompts", metavar="PROMPT...", nargs=-1, required=True)
@click.option("--max-new-tokens", type=int, default=64, help="Longest answer.")
@click.option("--temperature", type=float, default=0.0, help="0 is greedy.")
@click.option("--top-k", type=int, default=0, help="Likeliest tokens that stay; 0 is off.")
@click.option("--top-p", type=float, default=1.0, help="Probability that stays; 1 is off.")
@click.option(
    "--min-p", type=float, default=0.0, help="Least share of the likeliest token's; 0 is off."
)
@click.option("--seed", type=int, default=0, help="Of sampling; the same seed, the same text.")
@click.option(
    "--rule", type=click.Choice(RULES), default="leviathan", help="How sampled drafts are judged."
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="speed",
    help="primary, drafter: one alone; standalone modes verify nothing.",
)
@click.option("--gamma", type=int, help="Longest draft, in tokens.  [default: the largest up to 5]")
@click.option(
    "--tau",
    type=float,
    help="Draft on while the router predicts at least this, 0 to 1.  [default: the checkpoint's]",
)
@click.option("--num-samples", type=int, default=1, help="Answers to each prompt.")
@click.option("--stop", multiple=True, help="A text that ends the answer; may be repeated.")
@click.option("--logprobs", is_flag=True, help="Log-probabilities, in the JSON output.")
@click.option("--batch", type=int, help="Answers at once: a batch bucket.  [default: the smallest]")
@click.option("--chat", is_flag=True, help="Each PROMPT is a message, put into the chat template.")
@click.option("--system", help="A system message before it; implies --chat.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page that shows where each token of the answer comes from.",
)
@click.option(
    "--driver",
    type=click.Choice(DRIVERS),
    default="fused",
    help="steps: put rounds together on the host, for debugging.",
)
@running
@verified
@common
def generate(
    bundle: Path,
    prompts: tuple[str, ...],
    batch: int | None,
    driver: str,
    chat: bool,
    system: str | None,
    html: Path | None,
    executor: str | None,
    threads: int | None,
    compilation_cache: Path | None,
    allow_expired: bool,
    verify_key: str | None,
    as_json: bool,
    **params: Option,
) -> None:
    """Continues texts with the bundle in DIR.

    A PROMPT of - is read from stdin. The text goes to stdout as it comes, the statistics to stderr.
    """
    from tandem_export.runtime import SamplingParams, load

    sampling = SamplingParams(**params)
    with waiting(f"loading {bundle} and compiling its graphs", quiet=as_json):
        engine = load(
            bundle,
            executor=pick_executor(bundle, executor, verify_key),
            batch=batch,
            driver=driver,
            modes=(sampling,),
            compilation_cache=compilation_cache,
            threads=threads,
            allow_expired=allow_expired,
            verify_key=verify_key,
        )
    texts = [sys.stdin.read() if prompt == "-" else prompt for prompt in prompts]
    if chat or system is not None:
        inputs = [_conversation(engine.chat, text, system) for text in texts]
    else:
        inputs = texts
    one = len(texts) * sampling.num_samples == 1
    if html is not None and not one:
        rule = "--html shows one answer: give one PROMPT and one sample"
        got = f"{len(texts)} prompts, {sampling.num_samples} samples each"
        raise RequestError(f"{rule}. Got: {got}")
    deltas: list[Delta] = []
    hears = [*([_write] if one and not as_json else []), *([deltas.append] if html else [])]
    on_delta = partial(_tell, hears) if hears else None
    results = engine.generate(inputs, sampling, on_delta=on_delta)
    if html is not None:
        _write_page(html, engine, bundle.name, inputs[0], deltas)
    answers = [_answer(result) for result in results]
    if as_json:
        print_json({"answers": answers, "total": engine.stats.to_dict()})
        return
    click.echo() if one else _write_all(answers, click.echo)
    rounds = sum(result.stats.rounds for result in results)
    print_tables(_table(engine.stats.to_dict(), rounds), to_stderr=True)


def _conversation(template: ChatTemplate | None, text: str, system: str | None) -> list[int]:
    if template is None:
        raise RequestError(
            "the bundle has no chat template: generate without --chat, or give the model one with "
            "`tandem-export import --chat-template` and build again"
        )
    before = [] if system is None else [{"role": "system", "content": system}]
    with needs("chat"):
        return template.encode([*before, {"role": "user", "content": text}])


def _tell(hears: Sequence[Callable[[Delta], None]], delta: Delta) -> None:
    for hear in hears:
        hear(delta)


def _write(delta: Delta) -> None:
    click.echo(delta.text, nl=False)
    sys.stdout.flush()


def _write_page(
    html: Path, engine: Engine, model: str, prompt: str | list[int], deltas: list[Delta]
) -> None:
    from tandem_export.page import answer_page

    assert engine.tokenizer is not None, "a bundle has a tokenizer"
    if not isinstance(prompt, str):
        prompt = engine.tokenizer.decode(prompt, skip_special_tokens=False)
    seconds = engine.stats.seconds
    page = answer_page(deltas, engine.tokenizer, prompt=prompt, model=model, seconds=seconds)
    html.write_text(page, "utf-8")


def _write_all(answers: list[JsonObject], echo: Callable[[str], None]) -> None:
    for answer in answers:
        echo(f"--- prompt {answer['request']}, sample {answer['sample']}")
        echo(answer["text"])


def _answer(result: Result) -> JsonObject:
    names = ("request", "sample", "text", "tokens", "logprobs", "finish_reason")
    return {name: getattr(result, name) for name in names} | {"stats": result.stats.to_dict()}


def _table(stats: JsonObject, row_rounds: int) -> FittedTable:
    accepted = stats["accepted"] / row_rounds if stats["drafted"] else None
    rows = [
        ["tokens", f"{stats['tokens']}"],
        ["tokens/s, prefill included", _number(stats["tokens_per_second"])],
        ["rounds of the primary", f"{stats['rounds']}"],
        ["mean accepted length, drafts a round", _number(accepted)],
        ["acceptance by position", percentages(stats["acceptance_at"])],
        ["drafts ended by the router", f"{stats['router_stops']}"],
        ["compilations after warm-up", f"{stats['compilations_after_warm_up']}"],
    ]
    return make_table("Statistics", ("", ">"), rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
