"""`tandem-export serve`."""

from __future__ import annotations

import copy
import signal
from pathlib import Path

import click

from tandem_export.cli.choices import INTS
from tandem_export.cli.options import common, pick_executor, running, verified
from tandem_export.cli.output import needs, print_json, waiting
from tandem_export.cli.places import BUNDLE


@click.command(
    epilog="""\b
Examples:
  tandem-export serve build/demo
  tandem-export serve build/demo --port 9000 --batch 4 --max-waiting 64
  TANDEM_API_KEY=secret tandem-export serve build/demo --host 0.0.0.0"""
)
@BUNDLE
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="What to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0 is a free one.")
@click.option(
    "--model", metavar="NAME", help="The name that clients ask for.  [default: the bundle's]"
)
@click.option(
    "--api-key",
    metavar="KEY",
    envvar="TANDEM_API_KEY",
    show_envvar=True,
    help="What clients must send as a bearer token.  [default: none is asked for]",
)
@click.option(
    "--batch",
    type=INTS,
    help="Slots; of several buckets the load chooses.  [default: all buckets]",
)
@click.option("--gamma", type=int, help="Longest draft.  [default: the largest up to 5]")
@click.option(
    "--max-waiting", type=click.IntRange(1), default=256, help="Requests in line; more get 429."
)
@click.option(
    "--prefix-mib",
    type=click.IntRange(0),
    default=0,
    help="Memory for beginnings of prompts that others share; 0 keeps none.",
)
@click.option("--max-body", type=click.IntRange(1), default=2**20, help="Bytes of a body.")
@click.option("--max-prompt", type=click.IntRange(1), help="Tokens.  [default: the cache's]")
@click.option("--max-answers", type=click.IntRange(1), default=64, help="Of one request.")
@click.option("--deadline", type=float, help="Seconds for a request.  [default: none]")
@click.option(
    "--drain-seconds", type=int, default=30, help="What SIGTERM leaves to requests in progress."
)
@running
@verified
@common
def serve(
    bundle: Path,
    host: str,
    port: int,
    model: str | None,
    api_key: str | None,
    batch: tuple[int, ...] | None,
    gamma: int | None,
    max_waiting: int,
    prefix_mib: int,
    max_body: int,
    max_prompt: int | None,
    max_answers: int,
    deadline: float | None,
    drain_seconds: int,
    executor: str | None,
    threads: int | None,
    compilation_cache: Path | None,
    allow_expired: bool,
    verify_key: str | None,
    as_json: bool,
) -> None:
    """Serves the bundle in DIR over HTTP, with OpenAI's interface and a page at /.

    SIGTERM and Ctrl-C let nobody in any more and finish the requests in progress.
    """
    with needs("server"):
        import uvicorn
        from uvicorn.config import LOGGING_CONFIG

        from tandem_export.server import ServerOptions, create_app
    from tandem_export.bundle import open_bundle
    from tandem_export.runtime import batches_of, load

    spec = pick_executor(bundle, executor, verify_key)
    opened = open_bundle(
        bundle, verify_hashes=False, allow_expired=allow_expired, verify_key=verify_key
    )
    slots = batches_of(opened.in_form(spec.form)) if batch is None else batch
    with waiting(f"loading {bundle} and compiling its graphs", quiet=as_json):
        engine = load(
            bundle,
            executor=spec,
            batch=slots,
            gamma=gamma,
            compilation_cache=compilation_cache,
            threads=threads,
            allow_expired=allow_expired,
            verify_key=verify_key,
            most_waiting=max_waiting,
            prefix_bytes=prefix_mib * 2**20,
        )
    options = ServerOptions(
        model=opened.manifest.name if model is None else model,
        api_key=api_key or None,
        most_body_bytes=max_body,
        most_prompt_tokens=max_prompt,
        most_answers=max_answers,
        deadline=deadline,
    )
    # stdout is for --json alone.
    logging = copy.deepcopy(LOGGING_CONFIG)
    logging["handlers"]["access"]["stream"] = "ext://sys.stderr"
    config = uvicorn.Config(
        create_app(engine, options),
        host=host,
        port=port,
        log_config=logging,
        timeout_graceful_shutdown=drain_seconds,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn has its own handlers while it runs, and raises the signal again when it has ended.
        signal.signal(number, lambda *_: None)
    with engine:
        uvicorn.Server(config).run()
    if as_json:
        print_json({"requests": engine.stats.requests, "tokens": engine.stats.tokens})
